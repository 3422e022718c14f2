"""The search: study, rungs, budget, portfolio, executors."""
