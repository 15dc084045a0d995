//! `VOLUME path …`, `VOLUME ["path"]`: only the configuration changes.

use super::command_line::Json;
use super::{Instruction, Request, Spec};
use crate::go_text::plain_list;
use crate::lower::StageBuild;
use crate::word::Word;

pub(super) const SPEC: Spec = Spec { name: "VOLUME", flags: &[], heredocs: false, trigger: true, parse };

/// Says which paths hold data of their own.
#[derive(Clone, Debug)]
pub struct Volume {
    /// The paths.
    pub paths: Vec<Word>,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    request.at_least_one()?;
    let paths = match Json::read(request.text()) {
        Json::No => request.blank_separated(),
        Json::Mixed => return request.fail("a JSON array here is made of strings only"),
        Json::Strings(list) => {
            let span = request.span();
            list.into_iter().map(|text| Word { text: text.trim().to_owned(), span }).collect()
        }
    };
    if paths.is_empty() {
        return request.fail("VOLUME requires at least one argument");
    }
    if paths.iter().any(|path| path.text.is_empty()) {
        return request.fail("a VOLUME cannot be an empty path");
    }
    Some(Instruction::Volume(Volume { paths }))
}

impl Volume {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        let paths: Option<Vec<String>> = self.paths.iter().map(|path| stage.expand(path)).collect();
        let Some(paths) = paths else { return };
        if let Some(at) = paths.iter().position(String::is_empty) {
            stage.fail(self.paths[at].span, "a VOLUME cannot be an empty path");
            return;
        }
        for path in &paths {
            stage.state.config.config.volumes.insert(path.clone(), oci::Empty {});
        }
        stage.history(format!("VOLUME {}", plain_list(&paths)), false);
    }
}
