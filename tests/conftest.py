"""What every test wants: one thread, because the networks of tests are smaller than the cost of waking a second."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import torch

torch.set_num_threads(1)
cv2.setNumThreads(1)
