"""Alerts: somebody opens a message again and again, follows a link that matters, or mail to a domain bounces.

`finding` reads events whose verdict is final and takes down what is to be told; `telling` asks consent once more and
hands a letter to whoever sends mail (`post`); `running` sees that one process does each.
"""
