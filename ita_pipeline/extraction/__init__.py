"""What to look at, with which stages, and what became of it.

May import all packages below it; never trains and never prints.
Presets and the options of every command that plans are here (`presets`, `options`); `targets` decides what a target
on the command line is.
"""
