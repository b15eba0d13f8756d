"""A recommender as a runtime of MLServer: the same scores as `recommender.py`, from the real server."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor

N_ITEMS = 60


class Ranker(MLModel):
    """Scores of all items, float32 [B, N_ITEMS + 1], and the best 20."""

    async def load(self) -> bool:
        self.table = np.random.default_rng(7).normal(size=(N_ITEMS + 1, N_ITEMS + 1)).astype(np.float32)
        self.inputs = [MetadataTensor(name="history", datatype="INT64", shape=[-1, 8])]
        self.outputs = [
            MetadataTensor(name="scores", datatype="FP32", shape=[-1, N_ITEMS + 1]),
            MetadataTensor(name="top", datatype="INT64", shape=[-1, 20]),
        ]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        history = NumpyCodec.decode_input(payload.inputs[0])
        scores = np.zeros((len(history), N_ITEMS + 1), dtype=np.float32)
        for weight, column in zip((1.0, 0.5, 0.25), (-1, -2, -3), strict=True):
            items = history[:, column]
            scores += np.float32(weight) * self.table[items] * (items != 0)[:, None]
        top = np.argsort(-scores[:, 1:], axis=1, kind="stable")[:, :20] + 1
        outputs = [NumpyCodec.encode_output("scores", scores), NumpyCodec.encode_output("top", top)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
