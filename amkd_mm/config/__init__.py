"""Reading configs: arguments, names of files, keys that nothing reads, and what errors say."""
