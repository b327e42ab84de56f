"""The forms of answers: how each kind of control tag is read, solved and written.

Answers that are one class are told apart by `AnswerType.is_class`; all of them share one way
through the engine (`backend.jobs.recompute`). Every other form has a module of its own here.
"""
