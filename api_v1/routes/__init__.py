"""The routes, one file per resource. Importing a module here registers its routes on the blueprint."""
