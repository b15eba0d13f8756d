"""What the tags of attacks stand for, in the editions that they name.

    atlas@5.6.1:…          MITRE ATLAS, release 5.6.1 (May 2026): ids and titles as in its data repository
    nist-ai-100-2e2025:…   NIST AI 100-2 E2025, "Adversarial Machine Learning" (March 2025), its index of attacks: ids
                           and titles as several transcriptions of the report agree on them; the PDF was not read
    ML01:2023 …            OWASP Machine Learning Security Top Ten, 2023 draft: ids and titles as on its project page

The meanings are ours, said of recommenders. Ids move between editions, so a tag names its own.
"""

from __future__ import annotations

from typing import NamedTuple

ATLAS = "atlas@5.6.1:"
NIST = "nist-ai-100-2e2025:"


class Term(NamedTuple):
    """A tag's title in its taxonomy, and what it means here."""

    title: str
    meaning: str


TERMS: dict[str, Term] = {
    "control": Term("Control", "what a method has to beat at equal budget; no taxonomy knows it"),
    f"{ATLAS}AML.T0005": Term("Create Proxy AI Model", "a surrogate stands in for the model under attack"),
    f"{ATLAS}AML.T0015": Term("Evade AI Model", "an input is made so that the model answers wrongly"),
    f"{ATLAS}AML.T0020": Term("Poison Training Data", "the log that a model is trained on is changed"),
    f"{ATLAS}AML.T0021": Term("Establish Accounts", "fake users are registered"),
    f"{ATLAS}AML.T0031": Term("Erode AI Model Integrity", "inputs make the model worse for everybody"),
    f"{ATLAS}AML.T0040": Term("AI Model Inference API Access", "the served model is asked for lists or scores"),
    f"{ATLAS}AML.T0043": Term("Craft Adversarial Data", "an input is changed within limits for an effect on the model"),
    f"{ATLAS}AML.T0043.000": Term("White-Box Optimization", "the change is optimised with the model's gradients"),
    f"{ATLAS}AML.T0043.001": Term("Black-Box Optimization", "the change is optimised by asking the model"),
    f"{ATLAS}AML.T0043.002": Term("Black-Box Transfer", "the change is optimised on a surrogate's gradients"),
    f"{ATLAS}AML.T0043.003": Term("Manual Modification", "the change follows a rule, without asking the model"),
    f"{ATLAS}AML.T0059": Term("Erode Dataset Integrity", "the log is made less useful"),
    f"{NIST}NISTAML.012": Term("Clean-label Poisoning", "poison whose labels the attacker cannot set"),
    f"{NIST}NISTAML.013": Term("Data Poisoning", "availability: the trained model is worse for everybody"),
    f"{NIST}NISTAML.022": Term("Evasion", "integrity: an input is changed when the model is used"),
    f"{NIST}NISTAML.024": Term("Targeted Poisoning", "integrity: the trained model is wrong about chosen items"),
    f"{NIST}NISTAML.025": Term("Black-box Evasion", "evasion without the model's inner workings"),
    "ML01:2023": Term("Input Manipulation Attack", "an input is changed when the model is used"),
    "ML02:2023": Term("Data Poisoning Attack", "the data that a model is trained on is changed"),
    "ML08:2023": Term("Model Skewing", "feedback that a model learns from is changed in somebody's favour"),
}


def term(tag: str) -> Term:
    """What a tag stands for; a tag of somebody else's taxonomy stands for itself."""
    return TERMS.get(tag, Term(tag, "a tag that is not in our list"))
