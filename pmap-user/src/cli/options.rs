//! The table of options: the one source of parsing, help, manual page and completions.

/// What an option means to the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Extended,
    Details,
    ReadRc,
    ReadRcFrom,
    CreateRc,
    CreateRcTo,
    Device,
    Quiet,
    ShowPath,
    KernelNames,
    Range,
    SunOs,
    Help,
    Version,
    Follow,
    Children,
    Json,
    Failed,
    Table,
    SmapsInterval,
    SmapsBudget,
    Buffer,
    Color,
    Check,
}

/// Under which heading an option stands in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// What procps-ng 4.0.2 has and lists.
    Procps,
    /// The same, at the end of its list.
    ProcpsEnd,
    /// What later versions of procps-ng have.
    Later,
    /// Ours.
    Ours,
    /// Taken and not listed.
    Hidden,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt {
    pub(super) id: Id,
    pub(super) short: Option<u8>,
    pub(super) long: Option<&'static str>,
    /// How its argument is called; `None` where it takes none.
    pub(super) value: Option<&'static str>,
    pub(super) group: Group,
    pub(super) help: &'static str,
    /// A second line under it.
    pub(super) note: Option<&'static str>,
}

impl Opt {
    /// Whether procps 4.0.2 has it too, so that its abbreviations must stay what they are.
    pub(super) fn is_procps(&self) -> bool {
        !matches!(self.group, Group::Later | Group::Ours)
    }
}

/// An option without an argument and without a second line.
const fn flag(
    id: Id,
    short: Option<u8>,
    long: Option<&'static str>,
    group: Group,
    help: &'static str,
) -> Opt {
    Opt { id, short, long, value: None, group, help, note: None }
}

/// A long option of ours, with an argument.
const fn setting(id: Id, long: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt {
        id,
        short: None,
        long: Some(long),
        value: Some(value),
        group: Group::Ours,
        help,
        note: None,
    }
}

/// Every option, in the order of the help.
pub(super) const OPTIONS: &[Opt] = &[
    flag(Id::Extended, Some(b'x'), Some("extended"), Group::Procps, "show details"),
    Opt {
        note: Some("WARNING: format changes according to /proc/PID/smaps"),
        ..flag(Id::Details, Some(b'X'), None, Group::Procps, "show even more details")
    },
    flag(Id::ReadRc, Some(b'c'), Some("read-rc"), Group::Procps, "read the default rc"),
    Opt {
        value: Some("file"),
        ..flag(
            Id::ReadRcFrom,
            Some(b'C'),
            Some("read-rc-from"),
            Group::Procps,
            "read the rc from file",
        )
    },
    flag(Id::CreateRc, Some(b'n'), Some("create-rc"), Group::Procps, "create new default rc"),
    Opt {
        value: Some("file"),
        note: Some("NOTE: pid arguments are not allowed with -n, -N"),
        ..flag(
            Id::CreateRcTo,
            Some(b'N'),
            Some("create-rc-to"),
            Group::Procps,
            "create new rc to file",
        )
    },
    flag(Id::Device, Some(b'd'), Some("device"), Group::Procps, "show the device format"),
    flag(Id::Quiet, Some(b'q'), Some("quiet"), Group::Procps, "do not display header and footer"),
    flag(Id::ShowPath, Some(b'p'), Some("show-path"), Group::Procps, "show path in the mapping"),
    Opt {
        value: Some("low>[,<high>]"),
        ..flag(
            Id::Range,
            Some(b'A'),
            Some("range"),
            Group::Procps,
            "limit results to the given range",
        )
    },
    flag(Id::Help, Some(b'h'), Some("help"), Group::ProcpsEnd, "display this help and exit"),
    flag(
        Id::Version,
        Some(b'V'),
        Some("version"),
        Group::ProcpsEnd,
        "output version information and exit",
    ),
    flag(Id::SunOs, Some(b'r'), None, Group::Hidden, "ignored, for SunOS"),
    flag(
        Id::KernelNames,
        Some(b'k'),
        Some("use-kernel-name"),
        Group::Later,
        "use names provided by kernel",
    ),
    flag(Id::Json, None, Some("json"), Group::Ours, "print JSON, one object a line"),
    flag(
        Id::Follow,
        None,
        Some("follow"),
        Group::Ours,
        "print every change of the mappings as it happens",
    ),
    flag(Id::Children, None, Some("children"), Group::Ours, "follow what the processes fork, too"),
    flag(Id::Failed, None, Some("failed"), Group::Ours, "print calls that failed, too"),
    flag(
        Id::Table,
        None,
        Some("table"),
        Group::Ours,
        "print the mappings first, then their changes",
    ),
    setting(
        Id::SmapsInterval,
        "smaps-interval",
        "seconds",
        "read smaps this often, whatever it costs",
    ),
    setting(Id::SmapsBudget, "smaps-budget", "percent", "time spent on reading smaps (default 1)"),
    setting(Id::Buffer, "buffer", "KiB", "size of the buffer for events in the kernel"),
    setting(Id::Color, "color", "when", "colour: auto, always or never"),
    flag(Id::Check, None, Some("check"), Group::Ours, "say what this kernel allows, and exit"),
];
