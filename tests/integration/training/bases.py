"""Random models in the format of Transformers: `python -m tests.integration.training.bases '[[FOLDER, KIND, SIZES], ...]'`."""

from __future__ import annotations

import json
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM

for folder, kind, sizes in json.loads(sys.argv[1]):
    torch.manual_seed(11)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes)).save_pretrained(folder)
