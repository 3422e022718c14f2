"""Room: tensor → tokens; one model family a file."""
