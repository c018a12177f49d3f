"""Saved selections over people: what may be asked (`terms`), how it is written (`wording`), as SQL (`conditions`), and
who is in it (`selection`).

Whoever may not be measured by name today is in no segment that asks for behaviour, neither by what they did nor by
what they did not do.
"""
