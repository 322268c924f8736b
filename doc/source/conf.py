"""Sphinx settings of the manual."""

project = "Freezer"
copyright = "Freezer contributors"
extensions = ["oslo_config.sphinxext", "openstackdocstheme"]
html_theme = "openstackdocs"
root_doc = "index"
openstackdocs_auto_name = False
