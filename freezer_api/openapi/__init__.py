"""What the API promises, as an OpenAPI document: made of the schemas and rules that it obeys."""
