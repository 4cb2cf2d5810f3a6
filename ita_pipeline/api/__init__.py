"""The Python API, file by file the twin of `cli/`; `ita_pipeline` exports its functions.

May import all packages below it but not `server`; never prints and never parses arguments.
To add an option of a command, add it to the function of the same name here and to the module of `cli/`.
"""
