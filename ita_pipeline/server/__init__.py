"""The local page of `ita demo`.

May import all packages below it but not `api`, and `api` does not import it.
Routes are in `app`, what a request may do in `middleware`, what a client may keep open in `connections`, and the
prediction itself in `service`.
"""
