"""Wordings of a draft report: its titles, and every sentence that it may be made of.

Each names what it was made from as values. None says that there is no hemorrhage: what is not
suspected may be there all the same.
"""

from __future__ import annotations

from typing import Final

from agent.reasons.wording import Wording

READING: Final = {
    "title_clinical": Wording("Clinical information"),
    "title_technique": Wording("Technique"),
    "title_comparison": Wording("Comparison"),
    "title_findings": Wording("Findings"),
    "title_not_assessed": Wording("Not assessed"),
    "title_impression": Wording("Impression"),
    "clinical_not_known": Wording("Not known to Bleedwatch."),
    "technique_head": Wording("CT of the head without contrast agent, {n_slices} slices."),
    "technique_thickness": Wording("Slices of {thickness_mm} mm."),
    "technique_tilt": Wording("Gantry tilted by {tilt_deg:.0f}°."),
    "technique_networks": Wording(
        "Drafted with Bleedwatch, networks {bundle} {version}; not a medical device."
    ),
    "not_compared": Wording("No earlier examination was compared."),
    "compared": Wording(
        "Compared with this patient's previous examination, by the networks' outlines: {change}."
    ),
    "span_hours": Wording("{hours:.1f} h"),
    "span_days": Wording("{days:.0f} days"),
    "grew": Wording("grew {change_ml:.1f} mL ({low_ml:.1f} to {high_ml:.1f}) in {span}"),
    "shrank": Wording("shrank {change_ml:.1f} mL ({low_ml:.1f} to {high_ml:.1f}) in {span}"),
    "no_sure_change": Wording(
        "changed {change_ml:.1f} mL ({low_ml:.1f} to {high_ml:.1f}) in {span}, "
        "which may be the error of measurement alone"
    ),
    "change_not_measured": Wording("suspected {span} before as well, change not measured"),
    "suspected_first": Wording("not suspected {span} before"),
    "suspected_before": Wording("suspected {span} before, not suspected now"),
    "suspected_neither": Wording("not suspected {span} before either"),
    "place_both": Wording("{side} {region}"),
    "place_one": Wording("{place}"),
    "place_not_known": Wording("place not known"),
    "finding_suspected": Wording("Suspected hemorrhage, {kind}, {where}: {measured}."),
    "finding_read": Wording("Hemorrhage, {kind}, {where}: {measured}."),
    "bleed_measured": Wording(
        "{volume_ml:.1f} mL (90 % interval {low_ml:.1f} to {high_ml:.1f}), "
        "{long_mm:.0f} by {across_mm:.0f} by {up_mm:.0f} mm, slice {slice}"
    ),
    "finding_not_blood": Wording(
        "{where}, slice {slice}: read as {instead}, and not as blood, of which it was suspected."
    ),
    "bleed_drawn": Wording("{volume_ml:.1f} mL as drawn in reading, slice {slice}"),
    "finding_missed": Wording("Hemorrhage, {kind}, slice {slice}, marked in reading: {measured}."),
    "kind_not_told": Wording("kind not told"),
    "not_measured": Wording("not measured"),
    "volume_drawn": Wording("{volume_ml:.1f} mL as drawn"),
    "finding_drawn": Wording(
        "Outlined by {who} in another program: {volume_ml:.1f} mL in all ({segments})."
    ),
    "one_drawn": Wording("{label} {volume_ml:.1f} mL"),
    "finding_total": Wording("{total_ml:.1f} mL in all, of what is outlined."),
    "finding_midline": Wording("Midline shift {shift_mm:.1f} mm."),
    "finding_no_outline": Wording(
        "A bleed is suspected without an outline (score {score:.2f}): every slice is to be read."
    ),
    "finding_none": Wording(
        "No bleed suspected (score {score:.2f}; suspected from {threshold:.2f})."
    ),
    "finding_not_analysed": Wording("Not analysed by Bleedwatch: {because}."),
    "scope": Wording(
        "Bleedwatch looks for fresh blood alone. Ischemia, old blood, masses, fractures, "
        "hydrocephalus, herniation and vessels were not assessed."
    ),
    "midline_not_measured": Wording("The midline could not be measured."),
    "with_caveat": Wording("With a caveat: {caveat}."),
    "one_bleed": Wording("{kind}, {where}, {volume_ml:.1f} mL"),
    "one_bleed_missed": Wording("{kind}, slice {slice}, {measured}"),
    "impression_read": Wording("Intracranial hemorrhage: {bleeds}."),
    "impression_suspected": Wording("Suspected intracranial hemorrhage: {bleeds}."),
    "impression_no_outline": Wording("Suspected intracranial hemorrhage, not outlined."),
    "impression_dismissed": Wording(
        "What was suspected was read as no blood. No other bleed suspected."
    ),
    "impression_none": Wording("No bleed suspected."),
    "impression_open": Wording("To be read without Bleedwatch."),
    "report_not_signed_in": Wording(
        "Only a radiologist who is signed in can sign a report.",
        "serve the page for named users, and sign in",
    ),
    "readings_for_radiologists": Wording("Findings are read, and reports signed, by radiologists."),
    "result_superseded": Wording(
        "A newer result has come.", "load the page again, and read what is new"
    ),
}
