//! [create folder]: an empty folder at home.

use super::{Asked, Planned};
use crate::model::RelPath;
use crate::plan::{Op, master};

impl Asked<'_> {
    pub(super) fn mkdir(&self) -> Planned {
        let path = &self.wish.path;
        let file_in_the_way = |p: &RelPath| self.world.files.get(p).is_some();
        if file_in_the_way(path) || path.ancestors().iter().any(file_in_the_way) {
            return Planned::refused(format!("a file of that name is there already: {path}"));
        }
        Planned::done(vec![Op::MakeDir(master(path))], format!("the folder {path} is there"))
    }
}
