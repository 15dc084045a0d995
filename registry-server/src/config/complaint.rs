//! What a section finds wrong with itself.

/// Collects what is wrong, each with the field it is about, so that all of it is said at once.
#[derive(Debug, Default)]
pub struct Complaints {
    prefix: String,
    found: Vec<Complaint>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The field from the top, dotted, items of a list by number from zero: `webhook.endpoint.0.url`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Complaints {
    /// Complains about a field of the section: `"grace"`, or `"endpoint.0.url"` in a list.
    pub fn about(&mut self, field: &str, message: impl Into<String>) {
        let field = if self.prefix.is_empty() { field.to_owned() } else { format!("{}.{field}", self.prefix) };
        self.found.push(Complaint { field, message: message.into() });
    }

    /// Lets a section (`"gc"`, `"server.limits"`) complain about its own fields.
    pub fn section(&mut self, name: &str, validate: impl FnOnce(&mut Self)) {
        let outer = self.prefix.clone();
        self.prefix = if outer.is_empty() { name.to_owned() } else { format!("{outer}.{name}") };
        validate(self);
        self.prefix = outer;
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Complaint> {
        self.found
    }
}
