//! What the page looks like.

/// The style sheet: served from its own address, so that the page's policy need not allow inline style.
pub(crate) const SHEET: &str = include_str!("style.css");

/// The mark of the house: boxes, well stowed.
pub(crate) const MARK: &str = r##"<svg class="mark" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true"><rect x="2" y="13" width="9" height="9" rx="2"/><rect x="13" y="13" width="9" height="9" rx="2" opacity=".65"/><rect x="7.5" y="2" width="9" height="9" rx="2" opacity=".85"/></svg>"##;

/// The same as a file.
pub(crate) const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><g fill="#0d7a70"><rect x="2" y="13" width="9" height="9" rx="2"/><rect x="13" y="13" width="9" height="9" rx="2" opacity=".65"/><rect x="7.5" y="2" width="9" height="9" rx="2" opacity=".85"/></g></svg>"##;

/// Changes with the style sheet, so that browsers may keep it for as long as they like (FNV-1a).
pub(crate) const VERSION: u64 = {
    let bytes = SHEET.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
};
