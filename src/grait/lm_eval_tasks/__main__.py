"""``python -m grait.lm_eval_tasks`` prints the folder that the harness takes as include path."""

from grait.lm_eval_tasks import FOLDER

print(FOLDER)
