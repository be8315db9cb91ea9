"""The store: a journal in SQLite of every series, result, delivery and answer, in one file.

``database`` opens it. Whoever writes has a class of its own: ``agent_store`` for the agent,
``console_store`` for people and commands. ``queries`` reads. ``rows`` is what they take and give.
Nothing is imported here: who may write what is seen from the modules that are imported.
"""
