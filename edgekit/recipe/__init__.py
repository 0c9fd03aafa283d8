"""The recipe language: what a person writes about a model, its data and its targets, read into a ``Recipe``."""

from edgekit.recipe.jsonschema import schema
from edgekit.recipe.load import load_mapping, load_recipe, load_words
from edgekit.recipe.schema import Recipe

__all__ = ["Recipe", "load_mapping", "load_recipe", "load_words", "schema"]
