"""Validation: do stores hold what their manifests and their own headers promise?"""
