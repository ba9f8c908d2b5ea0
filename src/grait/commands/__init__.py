"""What the command line and Python do with runs, one module a command."""
