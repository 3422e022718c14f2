"""The report: figures, and the one page that holds them all."""
