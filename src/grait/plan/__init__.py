"""What a run would do and about what it would cost, found without weights: the dry run.

``size`` looks at the model's config, ``questions`` at the questions that lie on this machine; nothing is fetched or
written. The stages say themselves what they do (``pipeline.order.stage_plans``); ``costs`` is arithmetic on that;
``dry_run`` puts them together.
"""
