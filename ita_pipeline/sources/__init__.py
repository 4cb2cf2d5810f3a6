"""Where images come from: folders, archives, tables, file lists, the web, object stores and datasets.

May import `core` and `stages.base`; never the cache. Only `decode` decodes an image.
To add an image source, write a module here that implements `base.ImageSource`, and name it in `discover`.
"""
