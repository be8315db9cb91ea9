"""Wordings that the console's page may show: of series, files, networks and the box.

Its catalogues hold every one of them in every language.
"""

from __future__ import annotations

from typing import Final

from agent.reasons.reading import READING
from agent.reasons.wording import Wording

READ_BY_EYE: Final = "send the series again, or read it without Bleedwatch"
EXPORT_AGAIN: Final = "export the series again; check the scanner's export"
OTHER_PROTOCOL: Final = "if it should be analysed, adapt protocol profile {profile}"
OTHER_SERIES: Final = (
    "none needed: the plain head is analysed by itself; if this is it, see protocol profile "
    "{profile}"
)
WHOSE_IMAGES: Final = "make sure whose images these are before anybody acts on them"
WHOLE_HEAD: Final = "check that the whole head was exported, as one series"
CHECK_EXPORT: Final = "check what was scanned and how it was exported; read it without Bleedwatch"
OTHER_BUNDLE: Final = "rebuild or replace the bundle"
INSTALL_BUNDLE: Final = "install the bundle again"
SEE_CONTRACT: Final = "see engines/CONTRACT.md"
BUILD_PLAN: Final = "`bleedwatch engine build`"
LET_COMPILE: Final = (
    "`systemctl edit bleedwatch-agent` with MemoryDenyWriteExecute=no, then `bleedwatch engine "
    "openvino`"
)
LOOK_AT_CARD: Final = "`nvidia-smi` shows whether the driver sees the card"
LOOK_AT_SERVER: Final = "see whether it runs; `bleedwatch doctor` asks it"
PUBLISH: Final = "`bleedwatch engine publish` writes what it must load"

SERIES: Final = {
    "not_seen_whole": Wording(
        "nothing suspected in the slices received, but {missing}",
        "send the whole series again, or read it without Bleedwatch",
    ),
    "slices_missing": Wording(
        "slices missing between {below_mm:.1f} and {above_mm:.1f} mm ({n_missing})",
        WHOLE_HEAD,
    ),
    "images_missing": Wording("only {n_images} of {n_expected} images came", WHOLE_HEAD),
    "vertex_not_seen": Wording(
        "the top of the head is not in it: the highest slice still shows {percent:.0f} % of the "
        "largest section of the brain",
        WHOLE_HEAD,
    ),
    "base_not_seen": Wording(
        "the base of the skull is not in it: the lowest slice still shows {percent:.0f} % of the "
        "largest section of the brain",
        WHOLE_HEAD,
    ),
    "goes_on_above": Wording(
        "the score is close to the threshold, and the head may go on above the highest slice, that "
        "shows {percent:.0f} % of the largest section of the brain",
        WHOLE_HEAD,
    ),
    "goes_on_below": Wording(
        "the score is close to the threshold, and the head may go on below the lowest slice, that "
        "shows {percent:.0f} % of the largest section of the brain",
        WHOLE_HEAD,
    ),
    "levels_without_brain": Wording(
        "no brain is seen at {n_levels} levels between others that show it", WHOLE_HEAD
    ),
    "head_ends_in_air": Wording(
        "the head ends in air at {percent:.0f} % of its largest section: slices there show nothing",
        WHOLE_HEAD,
    ),
    "slices_apart": Wording(
        "slices of {thickness_mm:.1f} mm lie {apart_mm:.1f} mm apart: what is between is not seen",
        "check that all slices were exported; where the protocol leaves out so much, read it "
        "without Bleedwatch",
    ),
    "too_flat": Wording(
        "the brain is only {high_mm:.0f} mm high and {wide_mm:.0f} mm wide: slices are missing, or "
        "lie further apart than is said",
        WHOLE_HEAD,
    ),
    "brain_cut_off": Wording("the brain reaches the edge of the image", WHOLE_HEAD),
    "implausible": Wording("this is no head CT that can be trusted: {faults}", CHECK_EXPORT),
    "no_air": Wording("no air round the head, so these are no HU", CHECK_EXPORT),
    "air_off": Wording("air at {air_hu:.0f} HU, so these are no HU", CHECK_EXPORT),
    "no_skull": Wording("no skull with a brain in it is seen", CHECK_EXPORT),
    "skull_too_large": Wording(
        "the skull encloses {area_cm2:.0f} cm², more than any head: its scale is wrong",
        CHECK_EXPORT,
    ),
    "two_heads": Wording(
        "more than one head is in the images", "Read them; send each head by itself."
    ),
    "air_in_brain": Wording("{air_ml:.0f} mL of air lie within the brain", "Read the images."),
    "not_brain": Wording(
        "only {percent:.0f} % of what the skull encloses is as dense as brain", CHECK_EXPORT
    ),
    "uniform": Wording(
        "what the skull encloses differs by {spread_hu:.0f} HU only, as in a phantom", CHECK_EXPORT
    ),
    "upside_down": Wording(
        "the top of the head lies below its base: the positions of the slices are wrong",
        CHECK_EXPORT,
    ),
    "scale_off": Wording(
        "brain is {apart_hu:.0f} HU denser than fat, which in HU is 95 to 160", CHECK_EXPORT
    ),
    "scales_differ": Wording(
        "soft tissue and bone have different scales, so these are no HU", CHECK_EXPORT
    ),
    "pixels_stretched": Wording(
        "the brain is {percent:.0f} % as wide as it is long: the size of pixels is wrong, or the "
        "images were stretched",
        CHECK_EXPORT,
    ),
    "out_of_proportion": Wording(
        "the brain is {high_mm:.0f} mm high and {wide_mm:.0f} mm wide, as in no head: the size of "
        "pixels or the positions of slices are wrong",
        CHECK_EXPORT,
    ),
    "slices_alike": Wording("one slice is in it several times, with other noise", CHECK_EXPORT),
    "slices_of_two_heads": Wording("every other slice shows another head", CHECK_EXPORT),
    "slices_mirrored": Wording(
        "some slices are mirrored: they fit the ones beside them better the other way round",
        CHECK_EXPORT,
    ),
    "slices_repeated": Wording("{n_slices} slices are copies of another one", CHECK_EXPORT),
    "images_set_aside": Wording("{n_images} image(s) set aside: {because}"),
    "derived_images": Wording("derived images among original ones"),
    "scanned_again": Wording(
        "{n_images} image(s) of another scan of the same levels not analysed: look at them"
    ),
    "lossy_pixels": Wording("the images were compressed with losses"),
    "images_blank": Wording("{n_images} image(s) show nothing", EXPORT_AGAIN),
    "files_unread": Wording("{n_files} of its files cannot be read: {because}", EXPORT_AGAIN),
    "volume_uncertain": Wording("{because}: the volume is uncertain"),
    "no_outline": Wording("no outline could be drawn: look at the whole series"),
    "internal": Wording("a fault in Bleedwatch; its log has the details", READ_BY_EYE),
    "set_aside": Wording("set aside: its analysis ended the agent {n_times} times", READ_BY_EYE),
    "files_gone": Wording("its files are no longer in the export folder", READ_BY_EYE),
    "files_unreadable": Wording("{n_files} of its files can no longer be read", READ_BY_EYE),
    "localizers_only": Wording(
        "only localizer images", "none needed: the head series is analysed by itself"
    ),
    "not_head": Wording("not a head series: {found}", OTHER_SERIES),
    "contrast_series": Wording("a series with contrast agent: {description}", OTHER_SERIES),
    "scanned_often": Wording(
        "the same levels were scanned {n_times} times over, as for a perfusion", OTHER_SERIES
    ),
    "contrast_given": Wording("contrast agent was given", OTHER_SERIES),
    "bone_kernel": Wording("bone reconstruction (kernel {kernel})", OTHER_SERIES),
    "bone_series": Wording("bone reconstruction: {description}", OTHER_SERIES),
    "contrast_seen": Wording(
        "contrast agent is seen in vessels ({bright_ml:.1f} mL above 100 HU)",
        "none needed: the head without contrast agent is analysed by itself",
    ),
    "contrast_not_excluded": Wording(
        "contrast agent is not excluded: what is said of it disagrees, and none is seen"
    ),
    "metal_seen": Wording(
        "there is metal in the images: its streaks can hide a bleed, or look like one"
    ),
    "midline_shifted": Wording(
        "the midline is shifted by {shift_mm:.0f} mm, though no bleed is suspected",
        "look at the images: what is as dense as brain, as older blood may be, shifts it too",
    ),
    "calcification_no_bleed": Wording(
        "looked at as a possible bleed and taken for a calcification: {size_mm:.0f} mm in slice "
        "{slice_number}, up to {highest_hu:.0f} HU"
    ),
    "not_original_axial": Wording("not an original axial image ({image_type})", OTHER_SERIES),
    "not_plain_head": Wording("not a plain head series: {description}", OTHER_SERIES),
    "maker_not_covered": Wording("scanner maker '{maker}' is not the profile's", OTHER_PROTOCOL),
    "model_not_covered": Wording("scanner model '{model}' is not the profile's", OTHER_PROTOCOL),
    "description_not_covered": Wording(
        "series description '{description}' is not the profile's", OTHER_PROTOCOL
    ),
    "kernel_not_covered": Wording("kernel '{kernel}' is not the profile's", OTHER_PROTOCOL),
    "thickness_not_covered": Wording(
        "slice thickness {thickness_mm} mm, {low_mm} to {high_mm} covered", OTHER_PROTOCOL
    ),
    "voltage_not_covered": Wording(
        "tube voltage {voltage_kv} kV, {low_kv} to {high_kv} covered", OTHER_PROTOCOL
    ),
    "matrix_not_covered": Wording(
        "matrix {matrix_px} pixels, {low_px} to {high_px} covered", OTHER_PROTOCOL
    ),
    "too_few_slices": Wording("only {n_slices} slices, {n_needed} needed", WHOLE_HEAD),
    "too_many_slices": Wording("{n_slices} slices, at most {n_most} are analysed", WHOLE_HEAD),
    "series_too_long": Wording("{n_images} images, at most {n_most} are read", WHOLE_HEAD),
    "series_too_large": Wording("{mib} MiB of pixels, at most {most_mib} are read", WHOLE_HEAD),
    "memory_taken": Wording(
        "all series under way take {mib} MiB, {most_mib} are allowed, and this is the largest",
        READ_BY_EYE,
    ),
    "identity_differs": Wording(
        "slices of one series disagree about {attributes}",
        "two patients or studies share a series UID: check the scanner's worklist",
    ),
    "uid_used_twice": Wording(
        "two different images have the UID {sop_uid}",
        "the exporting system must not change an image and keep its UID",
    ),
    "no_slices": Wording("no slices", READ_BY_EYE),
    "not_axial": Wording("images are {angle_deg:.0f}° from axial", "send the axial head series"),
    "matrix_differs": Wording(
        "images of {rows} x {columns} and {other_rows} x {other_columns} in one series",
        READ_BY_EYE,
    ),
    "pixel_spacing_differs": Wording("pixel spacing differs within the series", READ_BY_EYE),
    "orientation_differs": Wording("slice orientation differs within the series", READ_BY_EYE),
    "frames_of_reference_differ": Wording("two frames of reference in one series", READ_BY_EYE),
    "position_used_twice": Wording(
        "two different images at one position ({height_mm:.1f} mm)",
        "send each reconstruction as a series of its own",
    ),
    "position_not_finite": Wording("a slice position is not a number", READ_BY_EYE),
    "slices_share_position": Wording("two slices share a position", "check for doubled slices"),
    "thickness_unknown": Wording("one slice of unknown thickness", "check SliceThickness"),
    "grid_not_filled": Wording("values {shape} on a grid {grid_shape}", READ_BY_EYE),
    "origins_malformed": Wording("slice origins of shape {shape}", READ_BY_EYE),
}
"""Why a series has no answer, or what its answer is to be read with."""

EXAMINATION: Final = {
    "confirmed_by_thin": Wording(
        "the thin slices ({thickness_mm} mm) confirm what those of {former_mm} mm suspected"
    ),
    "confirmed_by_another": Wording("another reconstruction confirms the suspicion"),
    "withdrawn_by_thin": Wording(
        "the thin slices ({thickness_mm} mm) withdraw what those of {former_mm} mm suspected",
        "look at both series",
    ),
    "withdrawn_by_another": Wording(
        "another reconstruction withdraws the suspicion", "look at both series"
    ),
    "patient_not_listed": Wording("this patient is on nobody's list today", WHOSE_IMAGES),
    "accession_of_another": Wording(
        "this accession number is another patient's on the list", WHOSE_IMAGES
    ),
    "doubt_and_remark": Wording("{doubt}; {remark}", WHOSE_IMAGES),
    "fetched_earlier": Wording(
        "an earlier examination, fetched from the archive: it alerts nobody"
    ),
    "prior_fetched": Wording(
        "the patient's earlier head CT of {date} was fetched: its own row tells what came of it"
    ),
    "registered": Wording(
        "registered: the earlier images were turned by {turned_deg:.0f}° to lie on these"
    ),
    "not_registered_not_kept": Wording("not registered: slices are no longer kept"),
    "not_registered_without_simpleitk": Wording(
        "not registered: SimpleITK is not installed",
        "in Bleedwatch's folder: pip install '.[register]'",
    ),
    "not_registered_unlike": Wording(
        "not registered: the two heads do not fit upon one another",
        "look whether both are this patient's",
    ),
    "prior_here": Wording("the patient's earlier head CT of {date} is in a row of its own"),
    "prior_none": Wording("the archive has no earlier head CT of this patient since {date}"),
    "prior_unidentified": Wording(
        "no earlier examination was looked for: the images do not say the patient's number, name "
        "and date of birth, and when they were scanned"
    ),
    "prior_not_fetched": Wording(
        "an earlier examination could not be fetched: {why}", "look for it in the archive"
    ),
    "soft_tissue_missing": Wording(
        "only a bone reconstruction of this scan came",
        "send its soft-tissue reconstruction, or read it without Bleedwatch",
    ),
}
"""What the series of one examination say together."""

RECEIVED: Final = {
    "images_refused": Wording(
        "images that {sender} sent were not received ({n_images}): {why}", READ_BY_EYE
    ),
    "inlet_folder_unwritable": Wording("{folder}: {why}", "let the account bleedwatch write there"),
    "inlet_disk_low": Wording("{folder}: only {gb:.1f} GB are free", "make room there"),
    "inlet_quota_taken": Wording(
        "{folder}: the images of two days take all of {gb:.1f} GB", "raise inlet.keep_mb"
    ),
    "inlet_memory_taken": Wording(
        "more than {most_mb:.0f} MiB arrive at once", "raise inlet.arriving_mb"
    ),
    "object_too_large": Wording("an image is larger than {most_mb:.0f} MiB", "raise read.file_mb"),
    "object_uid_unfit": Wording("an image has a UID that is none", EXPORT_AGAIN),
    "object_not_as_announced": Wording(
        "an image has other UIDs than it was announced with", EXPORT_AGAIN
    ),
    "object_unreadable": Wording("what was announced as an image is none", EXPORT_AGAIN),
}
"""Why images that a scanner sent to the inlet were not received."""

FILES: Final = {
    "file_gone": Wording("gone"),
    "not_a_file": Wording("not a file"),
    "file_too_large": Wording("{size_bytes} bytes, limit {limit_bytes}"),
    "file_unreadable": Wording(
        "cannot be read: {why}", "let the service account read the export folder"
    ),
    "nothing_written": Wording("nothing has been written yet"),
    "not_dicom": Wording("not a DICOM file"),
    "dicom_unreadable": Wording("not readable as DICOM ({error})", EXPORT_AGAIN),
    "header_cut": Wording("the file ends within its header"),
    "transfer_syntax_unread": Wording("transfer syntax not read: {syntax}"),
    "inflates_too_large": Wording("inflates to more than {limit_bytes} bytes"),
    "deflated_cut": Wording("the file ends within its deflated data"),
    "ends_in_zeros": Wording("the file ends in zeros"),
    "pixels_not_written": Wording("the file ends before its pixels"),
    "directory_left_out": Wording("an index of the files beside it"),
    "not_ct": Wording("not a CT image but {sop_class}"),
    "unknown_object": Wording("not a CT image but an unknown object"),
    "uid_missing": Wording("a CT image without {keyword}"),
    "series_set_aside": Wording(
        "its series was set aside: another of its files ended the decoder", EXPORT_AGAIN
    ),
    "decoder_ended": Wording(
        "set aside: its compressed pixels ended the decoder twice ({how})", EXPORT_AGAIN
    ),
    "pixels_undecodable": Wording("its compressed pixels cannot be decoded", EXPORT_AGAIN),
    "no_pixels": Wording("no pixel data", EXPORT_AGAIN),
    "rows_not_written": Wording("the last {n_rows} rows are zeros", EXPORT_AGAIN),
    "text_too_long": Wording("{keyword} of {n_characters} characters", EXPORT_AGAIN),
    "attribute_unusable": Wording("no usable {keyword}", EXPORT_AGAIN),
    "attribute_not_finite": Wording("{keyword} is not a number", EXPORT_AGAIN),
    "position_absurd": Wording("ImagePositionPatient lies outside any scanner", EXPORT_AGAIN),
    "pixel_spacing_unusable": Wording("PixelSpacing {row_mm} x {column_mm} mm", EXPORT_AGAIN),
    "orientation_unusable": Wording(
        "ImageOrientationPatient is not two square unit vectors", EXPORT_AGAIN
    ),
    "rescale_missing": Wording("no usable RescaleSlope and RescaleIntercept", EXPORT_AGAIN),
    "rescale_of_other": Wording("Rescale Type {rescale_type}: no HU", EXPORT_AGAIN),
    "rescale_absurd": Wording("rescale slope {slope}, intercept {intercept_hu} HU", EXPORT_AGAIN),
    "matrix_unusable": Wording("matrix {rows} x {columns}, limit {limit_px}", EXPORT_AGAIN),
    "frame_count_differs": Wording(
        "{n_described} frames described, {n_declared} declared", EXPORT_AGAIN
    ),
    "too_many_frames": Wording("{n_frames} frames of {rows} x {columns}", EXPORT_AGAIN),
    "colour_image": Wording("colour image", EXPORT_AGAIN),
    "bits_unusable": Wording("{n_stored} of {n_allocated} bits a pixel", EXPORT_AGAIN),
    "pixels_empty": Wording("the file holds nothing where its pixels should be", EXPORT_AGAIN),
    "pixels_too_short": Wording(
        "{n_bytes} bytes of pixels for {n_frames} x {frame_bytes}", EXPORT_AGAIN
    ),
    "pixels_too_long": Wording(
        "{n_bytes} bytes of pixels for {n_frames} x {frame_bytes}", EXPORT_AGAIN
    ),
    "pixels_cut": Wording("{n_bytes} of {n_declared} bytes of pixels", EXPORT_AGAIN),
    "compressed_cut": Wording("the file ends within its compressed pixels", EXPORT_AGAIN),
    "compressed_not_in_items": Wording("compressed pixels are not in items", EXPORT_AGAIN),
    "compressed_too_large": Wording("compressed pixels are larger than their image", EXPORT_AGAIN),
    "compressed_frame_count_differs": Wording(
        "{n_frames} compressed frames, {n_declared} declared", EXPORT_AGAIN
    ),
    "compressed_size_differs": Wording(
        "compressed {rows} x {columns}, declared {declared_rows} x {declared_columns}",
        EXPORT_AGAIN,
    ),
    "not_jpeg": Wording("not a JPEG codestream", EXPORT_AGAIN),
}
"""Why a file is left out, or refuses its series."""

NETWORKS: Final = {
    "output_shape": Wording("{output} of shape {shape}, not {expected}", OTHER_BUNDLE),
    "output_not_finite": Wording("{output} are not all numbers", OTHER_BUNDLE),
    "labels_off_grid": Wording("labels {shape} on a grid {grid_shape}", OTHER_BUNDLE),
    "labels_unnamed": Wording(
        "labels {subtype} and {region} name no subtype or region", OTHER_BUNDLE
    ),
    "score_absurd": Wording("study score {score}", OTHER_BUNDLE),
    "bleed_absurd": Wording(
        "{labelled_ml:.1f} mL labelled as bleed: more than a head holds", OTHER_BUNDLE
    ),
    "onnx_failed": Wording("ONNX Runtime: {why}", "run `bleedwatch replay`"),
    "openvino_failed": Wording("OpenVINO: {why}", LET_COMPILE),
    "bundle_unreadable": Wording("bundle {path}: {why}", "name a folder of a bundle"),
    "bundle_wrong": Wording(
        "{path}: {why}", "export the bundle again (`bleedwatch model export`): engines/CONTRACT.md"
    ),
    "bundle_file_unreadable": Wording("{path}: {why}", INSTALL_BUNDLE),
    "bundle_file_changed": Wording(
        "{path} is not the file that the manifest names (SHA-256 {sha256}…)",
        "install the bundle again; do not use this copy",
    ),
    "operating_point_unknown": Wording(
        "bundle {bundle} {version} has no operating point '{point}'", "name one of: {known}"
    ),
    "network_unloadable": Wording("{path}: {why}", INSTALL_BUNDLE),
    "network_input_differs": Wording(
        "{path} takes {inputs}, the manifest says {expected}", SEE_CONTRACT
    ),
    "not_signed": Wording(
        "{path} is not signed", "`bleedwatch engine sign`, if it is to be trusted"
    ),
    "signature_wrong": Wording(
        "{path} is not what was signed, or was signed with another key",
        "do not use this copy: build or install it again",
    ),
    "plan_unreadable": Wording(
        "{path}: {why}", "`bleedwatch engine list` shows the plans there are"
    ),
    "plan_manifest_wrong": Wording("{path}: {why}", BUILD_PLAN),
    "plan_file_changed": Wording(
        "{path} is not the file that the manifest names",
        "do not use it: `bleedwatch engine build` makes it again",
    ),
    "plan_misfit": Wording("plan {plan}: {why}", BUILD_PLAN),
    "plan_of_other_bundle": Wording("built from bundle {bundle}, not {wanted}", BUILD_PLAN),
    "plan_of_other_networks": Wording(
        "built from other networks than those of {bundle} today", BUILD_PLAN
    ),
    "plan_for_other_machine": Wording("built for {part} {then}, this is {now}", BUILD_PLAN),
    "plan_name_wrong": Wording(
        "'{plan}' is no plan's name", "`bleedwatch engine list` shows the plans there are"
    ),
    "plan_reads_differently": Wording(
        "plan {plan} does not read as the reference: a probability is {difference:.3f} off, "
        "{allowed:g} allowed",
        BUILD_PLAN,
    ),
    "failed_verification": Wording("it failed its verification: {why}", BUILD_PLAN),
    "verification_unreadable": Wording("{path}: {why}", "`bleedwatch engine verify`"),
    "active_plan_unreadable": Wording("{path}: {why}", "`bleedwatch engine activate`"),
    "plans_take_too_much": Wording(
        "plan {plan}: the plans in use would take {taken_percent:.0f} % of the GPU's memory, "
        "{allowed_percent:.0f} % are allowed",
        "set infer.gpu_memory_share, or fewer slabs_per_run in the protocol's profile",
    ),
    "plan_unloadable": Wording(
        "TensorRT {version} cannot load the engine: {why}",
        "`bleedwatch engine build` makes one for this machine",
    ),
    "plan_tensor_type": Wording("an engine with a tensor of {tensor_type}", SEE_CONTRACT),
    "plan_input_differs": Wording(
        "an engine with inputs {inputs} does not take {shape}: {why}",
        "`bleedwatch engine build` makes one that does",
    ),
    "plan_output_missing": Wording(
        "the engine has no output {output}, only {outputs}", SEE_CONTRACT
    ),
    "server_package_missing": Wording("{package} is not installed", "{command}"),
    "server_certificate_unreadable": Wording("{path}: {why}", "let this account read it"),
    "server_silent": Wording("the server {address} has not answered yet", LOOK_AT_SERVER),
    "server_failed": Wording("the server {address} does not answer: {why}", LOOK_AT_SERVER),
    "server_client_failed": Wording("the server cannot be asked: {error}", LOOK_AT_SERVER),
    "server_model_missing": Wording("the server {address} has no model {model}", PUBLISH),
    "server_model_differs": Wording("the server {address} has another bundle as {model}", PUBLISH),
    "server_reads_differently": Wording(
        "the server {address} does not read as the reference: a probability is "
        "{difference:.3f} off, {allowed:g} allowed",
        PUBLISH,
    ),
    "server_answer_wrong": Wording(
        "the server {address} gives no usable answer: {why}", LOOK_AT_SERVER
    ),
    "gpu_package_missing": Wording("{package} is not installed", "{command}"),
    "gpu_package_broken": Wording("{package} cannot be loaded: {why}", "{command}"),
    "gpu_not_wanted": Wording(
        "infer.gpu says that no GPU is to be used", "set infer.gpu to use one"
    ),
    "no_such_gpu": Wording(
        "there is no GPU {uuid}", "set infer.gpu to one that `nvidia-smi -L` tells"
    ),
    "card_unused": Wording(
        "there is an NVIDIA GPU, and no plan is in use",
        "`bleedwatch engine build`, `verify`, `activate`; or else infer.gpu = none",
    ),
    "tensorrt_not_started": Wording(
        "TensorRT {version} cannot start its {what}: {why}",
        "`nvidia-smi` shows the driver, which may be too old for this TensorRT",
    ),
    "no_gpu_driver": Wording(
        "no NVIDIA driver: {why}",
        "if the box has a card: {command}; without one the CPU runs the bundle, and there is "
        "nothing to build",
    ),
    "no_gpu": Wording("no GPU: {why}", LOOK_AT_CARD),
    "gpu_memory_short": Wording(
        "{doing}: not enough free GPU memory", "`nvidia-smi` shows what uses it"
    ),
    "gpu_failed": Wording("{doing}: {why}", LOOK_AT_CARD),
    "gpu_context_refused": Wording(
        "no context for an engine: {why}", "`nvidia-smi` shows how much GPU memory is free"
    ),
    "tensorrt_failed": Wording("TensorRT: {why}", "see the log above"),
    "cuda_call_failed": Wording("{call} gave CUDA error {cuda_error}", "see the CUDA driver's log"),
    "gpu_needs_new_process": Wording(
        "this process cannot use the GPU again ({degraded})",
        "start the agent again; as a service it is started by itself",
    ),
}
"""What is wrong with networks, bundles and the GPU."""

BOX: Final = {
    "recorded": Wording("{said}"),
    "nothing_new": Wording("nothing new"),
    "asked_again": Wording("asked for again"),
    "patient_corrected": Wording("the patient was corrected at the source"),
    "plans_left_out": Wording("degraded, a plan is left out: {why}"),
    "openvino_left": Wording("degraded, ONNX Runtime in place of OpenVINO: {why}", LET_COMPILE),
    "degraded_to_cpu": Wording("degraded to CPU: {why}"),
    "agent_never_ran": Wording("the agent has never run"),
    "agent_not_run_since_boot": Wording("the agent has not run since this computer was started"),
    "agent_not_running": Wording("the agent is not running"),
    "export_folder_unreachable": Wording("export folder unreachable: {why}"),
    "folder_unreachable": Wording(
        "{folder}: {why}", "mount the share; let the service account list it"
    ),
    "folder_unlistable": Wording("{folder}: {why}", "let this account read it"),
    "folder_not_mounted": Wording("{folder}: no longer mounted", "mount the share"),
    "folder_silent": Wording(
        "{folder}: no answer for {silent_s:.0f} s", "see whether the share's server runs"
    ),
    "store_disk_full": Wording(
        "the disk that holds the store is full ({free_mib} MiB free)",
        "make room on the disk of the state folder",
    ),
    "store_disk_low": Wording(
        "store: less than {needed_mib} MiB is left, which results need",
        "make room on the disk of the state folder",
    ),
    "store_locked": Wording(
        "store: {why}",
        "another process has been writing it for long: `fuser` on it tells which; end that",
    ),
    "store_unwritable": Wording(
        "store: {why}",
        "make room on the disk of the state folder; let the service account write there",
    ),
    "store_backup_short": Wording(
        "store: a copy of it needs {needed_mb:.0f} MB, {free_mb:.0f} MB are free",
        "make room, or move the store to a larger disk",
    ),
    "log_cut_off": Wording("the log cannot be written: cut off"),
    "log_unwritable": Wording("the log cannot be written: {why}"),
    "page_silent": Wording(
        "{url} does not answer: {why}",
        "`systemctl start bleedwatch-console`, `journalctl -u bleedwatch-console -n 9`",
    ),
    "page_of_other_program": Wording(
        "{url} answers {status} where `ok` should stand",
        "`ss -ltnp sport = :{port}` names the program; set console.port to a free one",
    ),
    "selftest_missing": Wording("SELF-TEST MISSING: none has run yet"),
    "selftest_failed": Wording("SELF-TEST FAILED: {why}"),
    "selftest_overdue": Wording("SELF-TEST OVERDUE: the last was {age_h:.0f} h ago"),
    "selftest_impeded": Wording("{why}"),
    "selftest_failures": Wording("{failures}"),
    "selftest_not_analysed": Wording("not analysed: {why}"),
    "selftest_nothing_found": Wording("no bleed was found (score {score})"),
    "selftest_no_picture": Wording("the alert has no picture"),
    "selftest_taken_for": Wording("taken for {found}, side {found_side}: it is {subtype}, {side}"),
    "selftest_mismeasured": Wording(
        "measured as {measured_ml:.1f} mL ({low_ml:.1f} to {high_ml:.1f}): it is {true_ml:.1f} mL"
    ),
    "selftest_slow": Wording(
        "slow: the alert took {took_s:.1f} s, the median here is {median_s:.1f} s"
    ),
    "wrong_password": Wording("Wrong name or password."),
    "too_many_tries": Wording("Too many wrong passwords."),
    "networks_loading": Wording("the networks are being loaded"),
    "audit_unwritable": Wording(
        "the audit log {name} cannot be written: {why}; views and actions are not being recorded"
    ),
    "escalation_refused": Wording("answered with {status}"),
    "escalation_unreachable": Wording("cannot be reached: {why}"),
    "selftest_no_result": Wording("no result came in time"),
    "selftest_not_forgotten": Wording("the test was not taken away in time"),
}
"""What is wrong with the box itself."""

PAGE: Final = SERIES | EXAMINATION | RECEIVED | FILES | NETWORKS | BOX | READING
