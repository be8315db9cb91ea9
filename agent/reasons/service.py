"""Wordings for service engineers alone, at the command line, in the log and in doctor's lines."""

from __future__ import annotations

from typing import Final

from agent.reasons.wording import Wording

MEND: Final = "mend it, then `bleedwatch config check`"
NAME_NEW_FILE: Final = "name a file that is not there yet, in a folder that can be written"
INSTALL_AGAIN: Final = "install Bleedwatch again"
DRAW_AGAIN: Final = "save it again in the program that it was drawn in"
PLANS_UNTOUCHED: Final = "what is active was not touched"
LABEL_MAP: Final = "give every value that stands for a bleed a name in the label map"

CONFIGURATION: Final = {
    "no_configuration": Wording("{path}: no such configuration file", "name one with --config"),
    "configuration_wrong": Wording("{path}: {why}", MEND),
    "configuration_unreadable": Wording("{path}: {why}", "mend the file's TOML"),
    "variable_unknown": Wording(
        "{variable} in the environment: no such setting{meant}",
        "`env | grep BLEEDWATCH_`, or systemctl cat bleedwatch-agent",
    ),
    "export_folder_in_own": Wording(
        "export_folder {folder} lies in {own}, which is for what no scanner sends",
        "let state_folder be a folder of its own",
    ),
    "operating_point_absurd": Wording(
        "operating point {point}: score {score} not in (0, 1)", "mend the bundle's manifest"
    ),
    "no_profiles": Wording("no protocol profile in {folder}", "install one, or set the folder"),
    "profile_unreadable": Wording("{why}", "mend the TOML there, or remove the file"),
    "profile_key_wrong": Wording("{key}: {why}", "`bleedwatch protocol check`"),
    "profile_name_used_twice": Wording(
        "two protocol profiles in {folder} are named {name}", "rename one of them, or remove it"
    ),
    "base_profile_missing": Wording(
        "based_on: no profile '{base}' that stands by itself",
        "name one of the same folder that is not based on another",
    ),
    "public_key_unreadable": Wording(
        "{path}: {why}", "`openssl pkey -in PRIVATE.pem -pubout` writes one"
    ),
    "public_key_unusable": Wording(
        "{path} is no public key in PEM", "`openssl pkey -in PRIVATE.pem -pubout` writes one"
    ),
    "public_key_of_other_kind": Wording(
        "{path} holds another kind of key than Ed25519",
        "`openssl pkey -in PRIVATE.pem -pubout` writes one",
    ),
    "tls_half_named": Wording(
        "{table}.tls_certificate and {table}.tls_key: one without the other",
        "name both in [{table}], or neither",
    ),
    "sign_in_needed": Wording(
        "console.sign_in = false on {host}: others could see patients",
        "leave it out, or set console.host to 127.0.0.1",
    ),
    "tls_needed": Wording(
        "console.host {host}: only a loopback address is served without TLS",
        "name console.tls_certificate and console.tls_key, or set console.host to 127.0.0.1 and "
        "view the page on this computer",
    ),
    "tls_file_unreadable": Wording(
        "{setting} {path}: {why}",
        "make sure that it is there, and that the service account can read it",
    ),
    "tls_key_unusable": Wording(
        "{setting} {path}: no PEM key, or one with a passphrase",
        "`openssl pkey -in {path} -out …` takes a passphrase away",
    ),
    "tls_key_of_another": Wording(
        "{table}.tls_key {path}: not the key of {certificate}",
        "name the key that the certificate was made with",
    ),
    "certificate_unusable": Wording(
        "{setting} {path}: no PEM certificate",
        "`openssl x509 -in {path} -noout -text` says what it is",
    ),
    "certificate_without_host": Wording(
        "console.tls_certificate {path}: names no host",
        "have one made with subject alternative names: by these the page is asked for",
    ),
    "certificate_expired": Wording(
        "{setting} {path}: expired on {until}",
        "have a new one made; make sure that the clock is right",
    ),
    "certificate_not_yet_valid": Wording(
        "{setting} {path}: not valid before {since}",
        "make sure that the clock is right",
    ),
    "no_users": Wording(
        "{url} is for named users, and there is none",
        "`bleedwatch user add NAME --role technologist`",
    ),
    "page_address_in_use": Wording(
        "console: {address}: {why}",
        "another program serves there; set console.port to a free one",
    ),
    "page_served_already": Wording(
        "console: a Bleedwatch console is served at {address} already",
        "it may be another site's: `systemctl status bleedwatch-console`; for a second one, set "
        "console.port to a free one",
    ),
    "page_address_unfit": Wording(
        "console: {address}: {why}",
        "set console.host and console.port to what this computer can serve",
    ),
    "bundle_not_installed": Wording(
        "no bundle in {path}; installed: {installed}", "set infer.bundle to one that is installed"
    ),
}
"""Why the configuration cannot be used."""

INLET: Final = {
    "inlet_off": Wording(
        "inlet.senders names nobody, so nothing is received",
        'name who may send in [inlet]: senders = ["CT1@10.20.30.40"]',
    ),
    "dicom_package_missing": Wording(
        "the Python package {package} is not installed",
        "in Bleedwatch's folder: pip install '.[dicom]'",
    ),
    "inlet_running": Wording("another inlet receives into {folder}", "stop one of them"),
    "inlet_address_in_use": Wording(
        "inlet: {address}: {why}",
        "another inlet may be running; set inlet.port or inlet.metrics_port to a free one",
    ),
    "inlet_address_unfit": Wording(
        "inlet: {address}: {why}",
        "set inlet.host and inlet.port to what this computer can serve",
    ),
    "tls_senders_without_certificate": Wording(
        "inlet.tls_senders without inlet.tls_certificate", "name the inlet's own certificate too"
    ),
    "tls_senders_unusable": Wording(
        "inlet.tls_senders {path}: {why}",
        "name a PEM file of the authorities that senders' certificates come from",
    ),
    "object_of_other_kind": Wording(
        "no image: SOP class {sop_class}", "let the sender send images alone"
    ),
    "drawing_unreadable": Wording("no segmentation ({error})", DRAW_AGAIN),
    "drawing_compressed": Wording(
        "a segmentation compressed as {syntax}", "send it in Explicit or Implicit VR Little Endian"
    ),
    "drawing_of_other_kind": Wording(
        "segmentation of type {kind}", "send a binary one, or a label map of 8 or 16 bits"
    ),
    "drawing_counts_wrong": Wording("{what} of the segmentation are not as it says", DRAW_AGAIN),
    "drawing_too_large": Wording(
        "{n_frames} frames of {n_segments} segments: more than the images have", DRAW_AGAIN
    ),
    "drawing_frames_unnamed": Wording(
        "frames do not name their images",
        "draw it with a program that writes Source Image Sequences, as OHIF and 3D Slicer do",
    ),
    "drawing_frames_unknown": Wording(
        "{n_unknown} frames name images that are not here",
        "draw it on the series that was analysed",
    ),
    "drawing_frames_elsewhere": Wording(
        "{n_elsewhere} frames do not lie where the images are that they name", DRAW_AGAIN
    ),
    "drawing_of_uneven": Wording(
        "of an unevenly spaced series, and it does not say that it kept its places",
        "draw it in another program: OHIF saves the slices of such a series in reverse",
    ),
    "drawing_empty": Wording("nothing is outlined", "send it when something is"),
    "drawing_of_unknown_series": Wording(
        "of no analysed series that is kept here", "draw it on the series that was analysed"
    ),
    "drawing_of_other": Wording("{what} is not the images'", "draw it on the patient's own images"),
    "drawing_is_ours": Wording(
        "our own segmentation, sent back", "forward those that people have drawn"
    ),
    "drawing_not_stored": Wording("it could not be stored", "send it again"),
}
"""Why the inlet does not start, or refuses what is no image."""

COMMANDS: Final = {
    "command_unavailable": Wording("{command}: {why}", INSTALL_AGAIN),
    "package_missing": Wording(
        "{command}: the Python package {package} is not installed",
        "in Bleedwatch's folder: pip install '.[train]'; for a GPU, what `bleedwatch doctor` names",
    ),
    "agent_running": Wording("another agent is running on {folder}", "`bleedwatch status`"),
    "no_store": Wording("no store at {path}", "start the agent first"),
    "store_older": Wording(
        "store {path} is of version {version}, this program's is {known}",
        "restart agent and console, or `bleedwatch upgrade`",
    ),
    "store_newer": Wording(
        "store {path} is of version {version}, this program knows {known}",
        "install the newer program again, or name another state folder; a copy of before the "
        "upgrade lies beside it",
    ),
    "store_unreadable": Wording("store {path}: {why}", "`bleedwatch doctor`"),
    "not_a_store": Wording("store {path}: {why}", "it is no store: move it away"),
    "store_damaged": Wording("damaged: {why}"),
    "store_row_dangling": Wording("a row of {table} refers to none of {to}"),
    "migration_failed": Wording("{why}"),
    "no_such_result": Wording(
        "no result {revision} of series {series_uid}", "`bleedwatch studies` lists what there is"
    ),
    "no_such_reading": Wording("no such reading of result {revision} of series {series_uid}"),
    "study_unknown": Wording(
        "no study or series {study} in the store", "`bleedwatch studies` lists what there is"
    ),
    "under_way_already": Wording("it is under way already", "`bleedwatch status --watch`"),
    "no_key_slice": Wording(
        "there is no key slice of it", "there is one where a bleed was suspected"
    ),
    "several_key_slices": Wording(
        "several series have a key slice: {series_uids}", "name one of them"
    ),
    "file_unwritable": Wording("{path}: {why}", NAME_NEW_FILE),
    "bundle_file_unwritable": Wording("{path}: {why}", NAME_NEW_FILE + ": --to FILE"),
    "folder_exists": Wording("{folder} is there already", "name a folder that is not"),
    "registry_empty": Wording(
        "no examination of that time has an answer", "`bleedwatch studies` lists what came"
    ),
    "registry_key_unusable": Wording(
        "{path}: {why}",
        "call it as the services' account; a key that is deleted is made anew, and names all"
        " examinations otherwise",
    ),
    "folder_unwritable": Wording("{folder}: {why}", "name a folder in one that can be written"),
    "image_undecodable": Wording("an image that cannot be decoded ({error})"),
    "image_of_other_kind": Wording("an image of another kind"),
    "image_with_text": Wording("an image that has a text burned into it"),
    "waits_for_agent": Wording("waits for the agent"),
    "new_result": Wording("a new result, revision {revision}"),
    "no_such_user": Wording("{name}: no such user", "`bleedwatch user list` names them"),
    "user_exists": Wording(
        "{name}: there is such a user already",
        "`bleedwatch user password` sets a password, `bleedwatch user role` a role",
    ),
    "user_name_unfit": Wording(
        "that name will not do", "one to {n_most} letters, digits, spaces, as in: ann.lee"
    ),
    "password_length_unfit": Wording(
        "a password of {n_characters} characters will not do",
        "at least {n_fewest} characters: four or five words that do not belong together",
    ),
    "password_guessable": Wording(
        "a password that is easily guessed will not do",
        "at least {n_fewest} characters: four or five words that do not belong together",
    ),
    "selftest_study_missing": Wording(
        "self-test: nothing that writes its study is installed", INSTALL_AGAIN
    ),
    "selftest_study_unloadable": Wording("self-test: {why}", INSTALL_AGAIN),
    "selftest_running": Wording("another self-test is running", "wait until it has ended"),
    "units_of_debian": Wording(
        "{path}: the services are the Debian package's",
        "enable them by systemctl; or `apt-get remove bleedwatch` first",
    ),
    "units_enabled_still": Wording("{units}: enabled still", "first: {command}"),
    "service_file_unwritable": Wording("{path}: {why}", "run it with sudo"),
    "python_hidden": Wording(
        "{path}, which runs this program: services cannot see what lies there",
        "install it by the system's Python: /usr/bin/python3 -m venv /opt/bleedwatch",
    ),
    "program_path_unfit": Wording(
        "{path}: not a path that a unit can start as it is",
        "install Bleedwatch below a plain absolute path such as /opt/bleedwatch",
    ),
    "program_hidden": Wording(
        "{path}: services cannot see what lies there",
        "install Bleedwatch into /opt/bleedwatch, or name the program with --program",
    ),
    "unit_is_link": Wording(
        "{path} is a link to {to}", "`systemctl unmask {unit}`, or take the link away"
    ),
    "process_ended": Wording("the {name} ended with code {exit_code}", "it said last:\n{said}"),
    "nothing_on_console": Wording("{awaited}: nothing on the console after {waited_s} s"),
    "played_not_analysed": Wording(
        "the series that was played was not analysed, so nothing was measured: {why}",
        "play another one with --preset",
    ),
}
"""Why a command does nothing."""

START_AGENT: Final = (
    "`systemctl start bleedwatch-agent`, then `journalctl -u bleedwatch-agent -n 30`"
)
REPLACE_STORE: Final = (
    "stop agent and console, move {name}* out of {folder} and keep them, start again"
)
NEW_PLAN: Final = "`bleedwatch engine build`, `verify`, `activate`"
NO_PLAN: Final = f"{NEW_PLAN}; or else infer.gpu = none"

DOCTOR: Final = {
    "check_failed": Wording("the check failed: {error}: {why}", "tell who maintains it"),
    "check_not_made": Wording("not checked: {why}"),
    "no_configuration_to_go_by": Wording("not checked: there is no configuration to go by"),
    "configuration_usable": Wording("{path} can be used"),
    "not_permitted": Wording("{why}", "run it as root: `sudo bleedwatch doctor`"),
    "program_not_installed": Wording(
        "Bleedwatch is not installed as a package", "pip install it again"
    ),
    "packages_unmet": Wording("{unmet}", "install Bleedwatch again, in an environment of its own"),
    "packages_met": Wording("Python {python}, bleedwatch {version}, {n_more} more as needed"),
    "no_time_source": Wording(
        "the kernel knows of none: the clock may drift from the scanner's",
        "`timedatectl set-ntp true`, with the hospital's time server",
    ),
    "clock_kept": Wording("the clock is kept right"),
    "unit_masked": Wording("masked: it cannot be started", "`systemctl unmask {unit}`"),
    "unit_not_installed": Wording("not installed ({load_state})", "`bleedwatch service install`"),
    "unit_not_running": Wording("{state}", "`journalctl -u {unit} -n 9`, `systemctl start {unit}`"),
    "unit_not_enabled": Wording(
        "{state}, but will not start with the computer: {unit_file_state}",
        "`systemctl enable {unit}`",
    ),
    "unit_restarted": Wording("{state}; restarts: {n_restarts}", "`journalctl -u {unit}`"),
    "unit_running": Wording("{state}"),
    "path_unreadable": Wording(
        "{path} cannot be read by the account {account}",
        "`ls -l {path}`; `usermod -aG GROUP {account}`, then restart the agent",
    ),
    "folder_readable": Wording("{folder} can be read"),
    "no_events_and_no_polling": Wording(
        "{folder} lies on a share that sends no events, and watch.polling is false",
        "take watch.polling out of the configuration",
    ),
    "folder_polled": Wording("none: the folder is listed every second"),
    "folder_watched": Wording("sent; the folder is also listed every {rescan_s} s"),
    "space_short": Wording("{free} free", "make room at {path}"),
    "space_enough": Wording("{free} free"),
    "store_absent": Wording("there is none at {path}", START_AGENT),
    "store_unopened": Wording("{path}: {why}", REPLACE_STORE),
    "store_damaged_or_none": Wording("{path}: damaged, or no store: {why}", REPLACE_STORE),
    "store_file_damaged": Wording("{path} is damaged: {why}", REPLACE_STORE),
    "store_to_be_upgraded": Wording(
        "{path} is of version {version}: the agent's next start brings it up to date",
        "`bleedwatch upgrade --check`",
    ),
    "store_whole": Wording("{path} is whole"),
    "clock_behind": Wording(
        "it is {behind} behind what was stored last",
        "set the time; results that are stored meanwhile look older than they are",
    ),
    "clock_reads": Wording("{now}"),
    "agent_down": Wording("{why}", START_AGENT),
    "agent_hindered": Wording(
        "{why}", "see the line `export folder`; if the agent is gone: " + START_AGENT
    ),
    "watches_other_folder": Wording(
        "watches {folder}, the configuration says {configured}",
        "`systemctl restart bleedwatch-agent`",
    ),
    "agent_degraded": Wording(
        "{why}", "see the line `gpu`, `server` or `cpu`, and `journalctl -u bleedwatch-agent`"
    ),
    "agent_runs": Wording("{bundle} {version}, {backend}, {device}"),
    "no_series_yet": Wording(
        "none has come yet", "export a head from the scanner, or `bleedwatch simulate`"
    ),
    "last_series_came": Wording("{ago} ago; {n_today} today"),
    "alerts_wait": Wording(
        "suspected and not acknowledged: {n_alerts}; the oldest for {longest}",
        "on the console's page, {url}",
    ),
    "no_alert_waits": Wording("none waits for an acknowledgement"),
    "results_unshown": Wording(
        "results that no page has shown: {n_results}; the oldest for {longest}",
        "open {url} where the technologist sees it",
    ),
    "all_results_shown": Wording("every result was shown"),
    "selftest_timer_wrong": Wording("{why}", "`systemctl enable --now bleedwatch-selftest.timer`"),
    "selftest_wrong": Wording("{why}", "`systemctl start bleedwatch-selftest`, then this again"),
    "selftest_never": Wording(
        "none has run, nor is one expected", "`sudo -u bleedwatch bleedwatch selftest`"
    ),
    "selftest_passed": Wording("passed {ago} ago, alert after {latency_s:.1f} s"),
    "sign_in_not_needed": Wording(
        "nobody needs to sign in: the page is served to this computer alone"
    ),
    "no_user_yet": Wording("there is none", "`bleedwatch user add NAME --role technologist`"),
    "users_known": Wording("{roles}"),
    "bundle_whole": Wording("{bundle} {version}, SHA-256 {sha256}…"),
    "signature_not_asked_for": Wording("not asked for: infer.public_key is not set"),
    "bundle_signed": Wording("the bundle is signed by {key}"),
    "profiles_fit": Wording("{n_profiles} profiles"),
    "cpu_stands_in": Wording("{why}; a plan is in use, so the CPU stands in", "{remedy}"),
    "no_plan_and_no_card": Wording(
        "no plan is in use: the CPU runs the networks ({why})", "{remedy}"
    ),
    "server_not_configured": Wording(
        "no server to open the agent's unit to", "set infer.server in {path}"
    ),
    "ray_unreachable": Wording(
        "Ray at {address} does not start or answer: {why}",
        "`ray status` on the cluster's head; without --on, this process reads alone",
    ),
    "ray_lost": Wording(
        "Ray at {address} was lost",
        "the same command goes on with what has no row yet, once `ray status` on the cluster's "
        "head is well",
    ),
    "archive_package_missing": Wording("{package} is not installed", "{command}"),
    "server_not_named": Wording("none is named: infer.server is not set"),
    "server_serves": Wording("{server}"),
    "gpu_replaced": Wording("not used: {address} runs the networks"),
    "cpu_by_choice": Wording("ONNX Runtime, since infer.backend is onnxruntime"),
    "cpu_by_reference": Wording("ONNX Runtime; OpenVINO, often faster, is not installed"),
    "cpu_by_openvino": Wording("OpenVINO {version}, verified on this computer"),
    "openvino_unused": Wording("ONNX Runtime, not OpenVINO: {why}", "`bleedwatch engine openvino`"),
    "openvino_missing": Wording("OpenVINO is not installed", "pip install '.[openvino]'"),
    "openvino_never_verified": Wording("it was never verified here"),
    "openvino_report_unreadable": Wording("{path}: {why}"),
    "openvino_verified_with_other": Wording("verified with {part} {then}, this is {now}"),
    "openvino_verified_on_few": Wording(
        "verified on {n_heads} golden heads, {n_needed} are needed"
    ),
    "openvino_failed_verification": Wording("it failed its verification: {why}"),
    "openvino_not_faster": Wording("ONNX Runtime is as fast here"),
    "gpu_switched_off": Wording("not to be used: infer.gpu is none"),
    "plans_in_former_folder": Wording(
        "plans lie in {former}, where they are no longer looked for", "mv {former} {folder}"
    ),
    "plans_unverified": Wording(
        "{why}; it reads one golden batch at each start", "`bleedwatch engine verify`"
    ),
    "cpu_runs": Wording("no plan is in use: the CPU runs the networks ({why})"),
    "card_without_plan": Wording("{card}; no plan is in use", NO_PLAN),
    "plans_unfit": Wording("{why}", NEW_PLAN),
    "plans_fit": Wording("{card}; {plans}"),
    "page_certificate_old": Wording(
        "{url} still shows another certificate than {path}",
        "`systemctl restart bleedwatch-console`",
    ),
    "page_served": Wording("{url} is served"),
    "certificate_not_needed": Wording("none is needed: the page is served to this computer alone"),
    "certificate_expires_soon": Wording(
        "{path} is valid until {until}, for {names}",
        "have the next one made; then `systemctl restart bleedwatch-console`",
    ),
    "certificate_valid": Wording("{path} is valid until {until}, for {names}"),
    "inlet_folder_open": Wording("{folder} can be written"),
    "inlet_folder_closed": Wording(
        "{folder} cannot be written by the account {account}",
        "`install -d -o {account} -g {account} {folder}`",
    ),
    "segmentations_not_taken": Wording("segmentations that people draw are refused, as configured"),
    "segmentations_none": Wording(
        "segmentations that people draw are taken, and none is kept",
        "send one to {where}, from a workstation that inlet.senders names",
    ),
    "segmentations_came": Wording("segmentations that people draw are taken; the last, {ago} ago"),
    "steps_none": Wording(
        "no scanner tells of procedure steps (MPPS), and none has to; one that can, tells {where}"
    ),
    "steps_came": Wording("procedure steps (MPPS) are told; the last began {ago} ago"),
    "inlet_listens": Wording("{where} receives from {senders}"),
    "inlet_silent": Wording(
        "nothing answers at {where}",
        "`journalctl -u bleedwatch-inlet -n 9`, `systemctl start bleedwatch-inlet`",
    ),
    "inlet_port_of_other_program": Wording(
        "another program answers at {where}",
        "`ss -ltnp 'sport = {port}'` names it; end it, or set inlet.port",
    ),
    "inlet_unencrypted": Wording(
        "images come unencrypted: inlet.tls_certificate is not set",
        "where scanners can do TLS, name a certificate and its key in [inlet]",
    ),
    "inlet_certificate_expires_soon": Wording(
        "{path} is valid until {until}",
        "have the next one made; then `systemctl restart bleedwatch-inlet`",
    ),
    "inlet_certificate_valid": Wording("{path} is valid until {until}"),
    "see_export_folder_line": Wording("see the line `export folder`"),
    "see_store_line": Wording("see the line `store`"),
    "see_bundle_line": Wording("see the lines `bundle` and `signature`"),
    "no_folder_yet": Wording("there is no folder yet"),
    "no_systemd": Wording("systemd does not run here, or does not answer"),
}
"""What doctor finds."""

BUILDING: Final = {
    "network_unparsable": Wording(
        "TensorRT {version} does not take the network: {why}",
        "export it with operators that TensorRT has: see engines/CONTRACT.md",
    ),
    "network_uncompilable": Wording(
        "TensorRT {version} cannot compile the network: {why}",
        "another --precision may do; the active plan is untouched",
    ),
    "builder_refuses": Wording(
        "TensorRT {version} refuses {what}", "another version of TensorRT may do"
    ),
    "manifest_changed": Wording(
        "{path} changed while it was checked", "check what writes there, then sign it again"
    ),
    "no_onnx_network": Wording("{path} is no ONNX network: {why}", "install the bundle again"),
    "precision_failed": Wording(
        "{path} cannot be had in {precision}: {why}", "build it with --precision fp32"
    ),
    "batch_untraceable": Wording(
        "the network's batch is written into it: {why}",
        "export the network without it (a Reshape to -1), or run it with the bundle's own batch",
    ),
    "batch_written_in": Wording(
        "the network's batch is written into its {operator} {node}",
        "export the network without it (a Reshape to -1), or run it with the bundle's own batch",
    ),
    "batch_lost": Wording(
        "{tensor} does not depend on the network's batch",
        "export the network without it (a Reshape to -1), or run it with the bundle's own batch",
    ),
    "shape_untold": Wording(
        "the shape of {tensor} cannot be told", "export the network with fixed shapes"
    ),
    "shapes_do_not_fit": Wording(
        "the network's shapes do not fit together: {why}", "install the bundle again"
    ),
    "plan_slower": Wording(
        "{plan} takes {head_ms:.1f} ms a head, the active plan {active_ms:.1f} ms",
        "--even-if-slower activates it all the same",
    ),
    "no_earlier_plan": Wording(
        "there is no earlier plan for {protocol} to go back to",
        "`bleedwatch engine list` shows the plans there are",
    ),
    "plan_unfit": Wording(
        "{plan} cannot be used: {why}", "`bleedwatch engine build`, then `engine verify`"
    ),
    "never_verified": Wording("it was never verified"),
    "verification_of_other_plan": Wording("its verification is another plan's"),
    "verified_on_other_machine": Wording("it was verified on another machine"),
    "verified_with_other": Wording("it was verified with {part} {then}, this is {now}"),
    "verified_on_few_heads": Wording(
        "it was verified on {n_heads} golden heads, {n_needed} are needed"
    ),
    "plans_disk_full": Wording("{folder}: the disk is full", "free some space; " + PLANS_UNTOUCHED),
    "plans_unwritable": Wording(
        "{path}: {why}", "run it as a user who may write there; " + PLANS_UNTOUCHED
    ),
    "nothing_to_publish": Wording(
        "neither a folder to publish into nor a server to check is named",
        "--triton FOLDER, --check grpcs://HOST:PORT, or both",
    ),
    "server_address_wrong": Wording(
        "{address}: {why}", "set infer.server_ca, server_certificate and server_key"
    ),
    "windows_uncovered": Wording(
        "no window of bundle {bundle} covers all its others: a server is sent the widest alone",
        "see slices.windows_hu in its bundle.toml",
    ),
    "nothing_to_sign": Wording(
        "{folder} is neither a bundle nor a plan", "`bleedwatch engine list` shows both"
    ),
    "private_key_unreadable": Wording(
        "{path}: {why}", "`openssl genpkey -algorithm ed25519 -out PRIVATE.pem` makes one"
    ),
    "private_key_unusable": Wording(
        "{path} is no private key in PEM without a password",
        "`openssl genpkey -algorithm ed25519 -out PRIVATE.pem` makes one",
    ),
    "private_key_of_other_kind": Wording(
        "{path} holds another kind of key than Ed25519",
        "`openssl genpkey -algorithm ed25519 -out PRIVATE.pem` makes one",
    ),
    "profile_unknown": Wording("no protocol profile '{name}'", "name one of: {known}"),
    "profile_or_file_unknown": Wording("no profile or file {wanted}", "there are {known}"),
    "profile_wrong": Wording("{where}: {because}", "{remedy}"),
    "profile_without_name": Wording("not set", "give the profile a name of its own"),
    "profile_namesake": Wording(
        "{other} has the name '{name}' too", "rename one of them, or remove it"
    ),
    "profile_key_missing": Wording(
        "not set", 'set it, or take it from another profile: based_on = "generic-head"'
    ),
    "profile_key_misspelt": Wording("no such key", "did you mean {close}?"),
    "profile_key_unknown": Wording("no such key", "remove it; there are {known}"),
    "profile_pattern_wrong": Wording(
        "{why}", r"mend it; a backslash before . + * ? ( ) [ ] takes them as they are"
    ),
    "profile_values_disagree": Wording("{why}", "mend one of these values"),
    "profile_value_wrong": Wording("{why}", "write it as generic-head.toml does"),
    "profile_value_wrong_at": Wording(
        "value {number}: {why}", "write it as generic-head.toml does"
    ),
    "points_not_checked": Wording("{because}; operating points are not checked", "{remedy}"),
    "profile_overruled": Wording(
        "would fit, but {profile} is for this scanner and has the last word"
    ),
    "profile_comes_later": Wording("fits too; {profile} asks as much and comes before it by name"),
    "profile_knows_less": Wording("fits too; {profile} asks for more and so knows better"),
    "profile_file_exists": Wording("{path} is there already", "--force replaces it"),
    "profile_unwritable": Wording("{path}: {why}", "name a file to write to"),
    "profile_name_unfit": Wording(
        "a profile cannot be named '{name}'",
        "use lower-case letters, digits, dots and dashes, such as er-scanner-head",
    ),
    "profile_name_taken": Wording("a profile is named {name} already", "choose another --name"),
    "base_profile_not_installed": Wording(
        "no protocol profile is named {name}", "install it: drafts build on it"
    ),
    "sample_folder_missing": Wording("{folder}: no such folder", "name one of exported files"),
    "sample_folder_unlistable": Wording(
        "{folder}: {why}", "name a folder that this account can list"
    ),
    "no_head_to_learn_from": Wording(
        "no whole plain head to learn from: {why}",
        "export a head without contrast, reconstructed with a soft kernel, as it comes",
    ),
    "no_ct_series": Wording("no CT series"),
    "nothing_to_tell_by": Wording(
        "the headers say nothing by which to tell this scanner or protocol from others",
        "{profile} covers it: no profile of its own is needed",
    ),
    "several_scanners": Wording(
        "the head series come from {n_scanners} scanners: {scanners}",
        "learn from one scanner's export at a time",
    ),
    "corpus_missing": Wording("{folder}: no such folder", "name the folder of the files"),
    "dcmtk_missing": Wording("DCMTK's {program} is not installed", "apt-get install dcmtk"),
    "bench_images_lost": Wording(
        "{n_received} of {n_sent} images were received", "see the disk that --folder names"
    ),
    "bench_receiver_silent": Wording(
        "nothing listens after {waited_s} s", "see the machine's load"
    ),
    "dcm2niix_missing": Wording("dcm2niix is not installed", "pip install dcm2niix"),
    "matplotlib_missing": Wording("--png: {why}", "pip install matplotlib"),
    "picture_folder_missing": Wording("--png {path}: no such folder", "make it first"),
    "output_unwritable": Wording("{path}: {why}", "name another file"),
    "nothing_to_play": Wording("{folder}: no files to play", "name a folder of exported images"),
    "no_receiver": Wording("--to {to}: no receiver", "such as BLEEDWATCH@127.0.0.1:11112"),
    "file_not_sendable": Wording(
        "a file is not DICOM: it cannot be sent", "name a folder of exported images alone"
    ),
    "receiver_not_reached": Wording(
        "{to}: no association, or it was lost",
        "`bleedwatch inlet` must run there, with {calling} and this computer in inlet.senders",
    ),
    "image_not_taken": Wording(
        "{to} does not take an image: {why}", "`bleedwatch doctor` there says what is wrong"
    ),
    "no_slice_to_leave_out": Wording(
        "there is no slice {k} to leave out",
        "slices are counted from 1 to {n_slices}, the lowest first",
    ),
    "preset_unknown": Wording("no scanner preset {name}", "there are {known}"),
    "no_studies": Wording(
        "{folder} holds no folder of a study", "{scan} and {mask} or {boxes} in each"
    ),
    "study_without_labels": Wording(
        "{study} has neither {mask} nor {boxes}",
        "an empty mask, or boxes.csv with its head line only, says: no bleed",
    ),
    "study_labelled_twice": Wording("{study} has both {mask} and {boxes}", "keep the mask"),
    "study_file_refused": Wording("{path}: {why}", "leave one CT series and its mask or boxes"),
    "mask_values_unnamed": Wording(
        "{path}: values {labels} have no name in the label map", LABEL_MAP
    ),
    "box_label_unnamed": Wording("{path}: label {label} has no name in the label map", LABEL_MAP),
    "box_unreadable": Wording("{path}: {row} is no box: {why}", "the columns are {columns}"),
    "box_empty": Wording("{path}: {box} is empty or begins outside the image"),
    "box_outside_scan": Wording("{scan} holds no such place: {box}", "see boxes.csv beside it"),
    "training_file_unreadable": Wording("{path}: {why}", "name a training TOML"),
    "training_file_wrong": Wording("{path}: {why}", "compare with {compare_with}"),
    "real_data_missing": Wording("{path} is missing", "name a folder with both data sets"),
    "bundle_is_there": Wording(
        "{folder} is there already", "give this run another version, or remove that one"
    ),
    "start_bundle_layers": Wording(
        "{path}: its layers are not those of the network to train",
        "give the contract and the widths that the bundle was trained with",
    ),
    "start_bundle_sees_more": Wording(
        "the bundle to start from sees {trained} neighbours on either side, not {wanted}",
        "give at least the neighbours that the bundle was trained with",
    ),
    "start_bundle_window": Wording(
        "the bundle to start from sees the window {window_hu} HU",
        "give every window that the bundle was trained with; others may be added",
    ),
}
"""Why a bundle, plan or profile is not made or used; for the service engineer."""

TRY_CHANNEL: Final = "`bleedwatch deliver test {channel}`; it is tried again"

DELIVERY: Final = {
    "archive_unreachable": Wording("{channel} cannot be reached: {why}", TRY_CHANNEL),
    "archive_refused": Wording(
        "{channel} refused {n_refused} of {n_objects} objects: {why}",
        "have the archive's administrator let them in, then `bleedwatch deliver retry {channel}`; "
        "it is tried again",
    ),
    "receiver_busy": Wording(
        "{channel} asks to be left alone for {retry_after_s} s: {why}", TRY_CHANNEL
    ),
    "message_refused": Wording(
        "{channel} refused the message: {why}",
        "have the receiver's administrator see to it, then `bleedwatch deliver retry {channel}`; "
        "it is tried again",
    ),
    "template_wrong": Wording(
        "{channel}: its template cannot be used: {why}",
        "correct the template, then `bleedwatch deliver test {channel}`",
    ),
    "step_unreadable": Wording("what it says of the procedure step cannot be read"),
    "step_value_missing": Wording("the procedure step has no {attribute}"),
    "step_value_unfit": Wording("the procedure step's {attribute} is no fit value"),
    "step_known": Wording("this procedure step was created before"),
    "step_unknown": Wording(
        "no such procedure step is known: it was not created here, or long ago"
    ),
    "step_ended": Wording("this procedure step has ended: it may not be changed any more"),
    "step_not_stored": Wording("the procedure step could not be stored"),
    "orders_unchangeable": Wording(
        "{channel} does not say that orders (ServiceRequest) can be searched for and patched there",
        "have its administrator allow it, or take order_system out",
    ),
    "order_raised": Wording("{channel}: the order was raised to {priority}"),
    "order_left": Wording("{channel}: the order was {priority} already"),
    "order_not_found": Wording(
        "{channel}: no order was raised, there are {n_orders} open ones with this accession number"
        " and patient",
        "raise the order in the RIS, if it is to be read sooner",
    ),
    "trial_message": Wording("a test of Bleedwatch, of no patient"),
    "archive_silent": Wording(
        "{channel} took all objects and has not said that it keeps them",
        "see what its administrator has set for storage commitment; it is asked again",
    ),
    "archive_lost": Wording(
        "{channel} says that it does not have {n_lost} of {n_objects} objects that it took",
        "ask its administrator; they are sent again",
    ),
    "commitment_refused": Wording(
        "{channel} does not answer for what it took: {why}",
        "have its administrator set up storage commitment, or set commitment = false",
    ),
    "objects_not_made": Wording(
        "the objects could not be made ({error})", "the log has the traceback; report it"
    ),
    "sources_gone": Wording(
        "what the objects are made of is no longer stored",
        "`bleedwatch requeue` the study, or `bleedwatch deliver drop`",
    ),
    "worklist_refused": Wording(
        "{channel} gave an answer that cannot be used: {why}",
        "see what its administrator has set up; until then nobody's identity is doubted",
    ),
    "no_worklist": Wording("no worklist is asked for expected patients"),
    "worklist_empty": Wording(
        "{channel} lists nobody: nobody's identity is doubted",
        "see whether it has this scanner's patients for the AE title that asks",
    ),
    "worklist_answers": Wording("{channel} lists {n_entries} scheduled steps"),
    "prior_of_another": Wording(
        "{channel} gave images of another patient, or of another series than was asked for",
        "have its administrator see to it; the images were not looked at",
    ),
    "prior_refused": Wording(
        "{channel} does not give it: {why}", "have its administrator see to it"
    ),
    "prior_too_much": Wording(
        "it is more than {n_images} images or {mb} MB, or took longer than {minutes} min"
    ),
    "prior_no_room": Wording("{gb:.1f} GB are free on the disk", "make room on the disk"),
    "prior_failed": Wording("internal fault: {error}", "report it, with the log"),
    "no_priors": Wording("no earlier examination is fetched from an archive"),
    "priors_answer": Wording(
        "{channel} answers; earlier examinations are fetched from the last {days} days"
    ),
    "priors_wrong": Wording(
        "{n_priors} earlier examinations could not be fetched within a day; the last one: {why}",
        "see what the archive's administrator says",
    ),
    "no_archive": Wording("results are sent nowhere"),
    "archives_answer": Wording("{channels}: all answer, and nothing is held up"),
    "archives_wrong": Wording("{problems}", "`bleedwatch deliver list`"),
    "nobody_sends": Wording("{n_results} results wait for {channel}, and nobody sends them"),
    "no_channel": Wording(
        "{path} names no channel to send results to",
        "add one, such as [[deliver.dicom]] or [[deliver.hl7]]",
    ),
    "channel_unknown": Wording("no channel is named {channel}", "channels are: {known}"),
    "nothing_waits": Wording("nothing waits for {channel}", "`bleedwatch deliver list`"),
    "port_taken": Wording(
        "port {port} cannot be listened on: {why}",
        "stop bleedwatch-deliver while a channel is tried out, or set deliver.listen_port",
    ),
}

SERVICE: Final = CONFIGURATION | INLET | COMMANDS | DOCTOR | BUILDING | DELIVERY
