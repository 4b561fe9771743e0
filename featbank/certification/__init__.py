"""Certification: does computing a sample of a store's utterances again give the stored bits?"""
