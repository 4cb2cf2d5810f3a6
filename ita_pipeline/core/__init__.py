"""Code that every other package may use: errors, files, configuration layers, plugins, text and iteration.

Imports nothing of this project, and contains nothing about posts, images, stages or torch.
Add here an error class (`errors`), a file helper (`files`) or a configuration layer (`config_layers`).
"""
