//! The people of the story. Common names; nobody is meant.

/// A person of the story.
pub(super) struct Player {
    /// Id on the roster.
    pub(super) id: &'static str,
    /// Name in reports.
    pub(super) name: &'static str,
    /// `security` or `audit`.
    pub(super) role: &'static str,
}

/// Three officers and an auditor; the others only as custodians of further known components.
pub(super) const NATION_PEOPLE: usize = 4;

/// At the nation.
pub(super) const NATION: [Player; 9] = [
    Player { id: "zhang-wei", name: "张伟", role: "security" },
    Player { id: "li-na", name: "李娜", role: "security" },
    Player { id: "wang-fang", name: "王芳", role: "security" },
    Player { id: "zhao-lei", name: "赵磊", role: "audit" },
    Player { id: "custodian-4", name: "第四保管员", role: "security" },
    Player { id: "custodian-5", name: "第五保管员", role: "security" },
    Player { id: "custodian-6", name: "第六保管员", role: "security" },
    Player { id: "custodian-7", name: "第七保管员", role: "security" },
    Player { id: "custodian-8", name: "第八保管员", role: "security" },
];

/// In Henan.
pub(super) const HENAN: [Player; 4] = [
    Player { id: "chen-jie", name: "陈杰", role: "security" },
    Player { id: "liu-yang", name: "刘洋", role: "security" },
    Player { id: "sun-li", name: "孙丽", role: "security" },
    Player { id: "zhou-min", name: "周敏", role: "audit" },
];
