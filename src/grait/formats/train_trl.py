"""Train on train.jsonl with TRL, with the weight of each row: python train_trl.py (pip install trl peft).

TRL's own trainer ignores the column sample_weight. Here the loss is (1 / n) * sum_i w_i * l_i over the n rows of a
batch, l_i the mean token cross-entropy of row i's completion. Settings are those of the run, from export.json.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig
from torch import nn
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

FOLDER = Path(__file__).resolve().parent


class WeightedCollator(DataCollatorForLanguageModeling):
    """TRL's collator, with sample_weight [batch]."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        batch["sample_weight"] = torch.tensor([example["sample_weight"] for example in examples], dtype=torch.float32)
        return batch


class WeightedSFTTrainer(SFTTrainer):
    """TRL's trainer with the weighted loss."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.model_accepts_loss_kwargs = False  # compute_loss is a mean over rows: the Trainer averages micro-batches

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        logits, targets = outputs.logits[:, :-1].float(), inputs["labels"][:, 1:]
        token_losses = nn.functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-100, reduction="none")
        losses = token_losses.sum(-1) / (targets != -100).sum(-1)
        loss = (inputs["sample_weight"] * losses).mean()
        return (loss, outputs) if return_outputs else loss


def tokenized(row: dict[str, Any], tokenizer: Any) -> dict[str, list[int]]:
    """A row of text. TRL would put the end of text after rows that end with the end of a chat turn, too."""
    prompt, whole = (tokenizer(text)["input_ids"] for text in (row["prompt"], row["prompt"] + row["completion"]))
    return {"input_ids": whole, "completion_mask": [int(place >= len(prompt)) for place in range(len(whole))]}


def main() -> None:
    about = json.loads((FOLDER / "export.json").read_text(encoding="utf-8"))["trained_with"]
    lora, training = about["lora"], about["training"]
    rows = load_dataset("json", data_files=str(FOLDER / "train.jsonl"), split="train")
    n_steps = math.ceil(len(rows) / training["batch_size"]) * training["epochs"]
    source = {"revision": about["revision"], "trust_remote_code": about["trust_remote_code"]}
    tokenizer = AutoTokenizer.from_pretrained(about["model"], **source)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if isinstance(rows[0]["prompt"], str):
        rows = rows.map(tokenized, fn_kwargs={"tokenizer": tokenizer})
    trainer = WeightedSFTTrainer(
        model=about["model"],
        processing_class=tokenizer,
        train_dataset=rows,
        data_collator=WeightedCollator(pad_token_id=tokenizer.pad_token_id),
        peft_config=LoraConfig(
            r=lora["r"],
            lora_alpha=lora["alpha"],
            lora_dropout=lora["dropout"],
            target_modules=lora["target_modules"],
            target_parameters=lora.get("target_parameters"),
            task_type="CAUSAL_LM",
        ),
        args=SFTConfig(
            output_dir=str(FOLDER / "adapter"),
            model_init_kwargs={**source, "dtype": about["dtype"]},
            remove_unused_columns=False,  # else sample_weight is dropped
            completion_only_loss=True,
            max_length=None,
            learning_rate=training["learning_rate"],
            num_train_epochs=training["epochs"],
            per_device_train_batch_size=training["micro_batch_size"],
            gradient_accumulation_steps=training["batch_size"] // training["micro_batch_size"],
            lr_scheduler_type=training["scheduler"],
            warmup_steps=math.ceil(n_steps * training["warmup_ratio"]),
            weight_decay=training["weight_decay"],
            max_grad_norm=training["max_grad_norm"],
            optim="adamw_torch",
            bf16=False,  # no autocast: the model computes in the type it is loaded in
            gradient_checkpointing=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            seed=about["seed"],
        ),
    )
    trainer.train()
    trainer.save_model()
    trainer.save_state()  # losses


if __name__ == "__main__":
    main()
