"""What a run would do and about what it would cost, found without weights: the dry run.

``size`` looks at the model's config, ``questions`` at the questions that lie on this machine; nothing is fetched or
written. ``stages`` and ``costs`` are arithmetic on ``records``; ``dry_run`` puts them together.
"""
