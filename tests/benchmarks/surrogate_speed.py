"""`speed.py` with the surrogates and their peers, all over the same grid of 100 segments:

    python tests/benchmarks/surrogate_speed.py ours "lime(samples=1000, segmentation='grid')" resnet18 fp32
    python tests/benchmarks/surrogate_speed.py peer lime resnet18 10

XAIBENCH_SPEED_SAMPLES (1000) is the number of passes per image.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

from xaibench.segmentation import segment

_spec = importlib.util.spec_from_file_location("speed", Path(__file__).with_name("speed.py"))
speed = sys.modules["speed"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(speed)

SAMPLES = int(os.environ.get("XAIBENCH_SPEED_SAMPLES", "1000"))


def scene():
    """The image [C, H, W] and its segments."""
    image = speed.images(1)[0]
    return image, segment(image.cpu().numpy(), "grid", 100)


def lime_package(model, setting):
    """Setting: batch_size; the library's default is 10."""
    from lime.lime_image import LimeImageExplainer

    image, labels = scene()
    explainer = LimeImageExplainer(random_state=0)

    def predict(pictures):
        some = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(speed.DEVICE)
        with torch.no_grad():
            return model(some).softmax(dim=1).cpu().numpy()

    return lambda: explainer.explain_instance(
        image.permute(1, 2, 0).cpu().numpy(),
        predict,
        labels=(0,),
        top_labels=None,
        num_samples=SAMPLES,
        batch_size=setting,
        segmentation_fn=lambda _picture: labels,
    )


def captum_surrogate(name):
    """Setting: perturbations_per_eval; the library's default is 1."""

    def make(model, setting):
        from captum import attr

        image, labels = scene()
        mask = torch.from_numpy(labels.astype(np.int64)).to(speed.DEVICE)[None, None]
        method = getattr(attr, name)(model)
        return lambda: method.attribute(
            image[None], target=0, feature_mask=mask, n_samples=SAMPLES, perturbations_per_eval=setting
        )

    return make


def shap_kernel(model, setting):
    """Setting: images passed at once by the function that a user writes, as in the library's image notebooks."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

    image, labels = scene()
    picture, places = image.cpu().numpy(), labels
    grey = picture.mean(axis=(1, 2), keepdims=True)

    def predict(rows):
        outputs = []
        for start in range(0, len(rows), setting):
            shown = rows[start : start + setting][:, places][:, None].astype(np.float32)
            some = torch.from_numpy(shown * picture + (1 - shown) * grey).to(speed.DEVICE)
            with torch.no_grad():
                outputs.append(model(some).cpu().numpy())
        return np.concatenate(outputs)[:, 0]

    explainer = shap.KernelExplainer(predict, np.zeros((1, labels.max() + 1)))
    count = SAMPLES - 3  # the others are for the ends
    return lambda: explainer.shap_values(np.ones((1, labels.max() + 1)), nsamples=count, l1_reg=False, silent=True)


_LIME = f"lime(samples={SAMPLES}, segmentation='grid')"
_SHAP = f"kernel-shap(samples={SAMPLES}, segmentation='grid')"
PEERS = {
    "lime": (_LIME, lime_package, (10, 8, 16, 32), 1),
    "captum-lime": (_LIME, captum_surrogate("Lime"), (1, 8, 16, 32), 1),
    "captum-kernel-shap": (_SHAP, captum_surrogate("KernelShap"), (1, 8, 16, 32), 1),
    "shap-kernel": (_SHAP, shap_kernel, (32, 8, 16), 1),
}
speed.PEERS |= PEERS

if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    print(json.dumps({"ours": speed.ours, "peer": speed.peer}[kind](*arguments)))
