"""Sphinx settings of the API reference."""

project = "Freezer API"
copyright = "Freezer contributors"
extensions = ["os_api_ref", "openstackdocstheme"]
html_theme = "openstackdocs"
html_theme_options = {"sidebar_mode": "toc"}
root_doc = "index"
openstackdocs_auto_name = False
