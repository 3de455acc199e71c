"""The command line, the embedded supervisor, and what users' own tests need (`ringback.testing`)."""
