"""Does a training on the top of a pool by influence beat one on random rows?"""
