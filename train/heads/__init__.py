"""Heads of the field, one module each: equal to the published code for the same weights and features.

They take embeddings as the encoder gave them, not normalised, and keep the parameter names of the published code.
"""
