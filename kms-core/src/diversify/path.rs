//! Paths: which factors lead from a national master to a card key.
//!
//! Not an HSM call. Guards: a path is applied in its own order and as a whole; the only intermediate
//! key anyone can name is the provincial master.

use super::{Block16, CardFactor, ProvinceCode, block16};

/// Longest path.
pub const PATH_ELEMENTS_MAX: usize = 2;

/// Where in the hierarchy a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyLevel {
    /// National masters.
    Nation,
    /// Masters diversified for one province.
    Province,
    /// Keys of one card.
    Card,
}

impl KeyLevel {
    /// `nation`, `province` or `card`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nation => "nation",
            Self::Province => "province",
            Self::Card => "card",
        }
    }
}

/// How a factor becomes a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FactorForm {
    /// Sixteen bytes, used as they are.
    Block16,
    /// Eight bytes F, expanded to `F ‖ ~F`.
    Factor8,
}

impl FactorForm {
    /// `block16` or `factor8`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block16 => "block16",
            Self::Factor8 => "factor8",
        }
    }
}

/// One step down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathElement {
    /// The level reached.
    pub to: KeyLevel,
    /// The form of its factor.
    pub form: FactorForm,
}

impl PathElement {
    /// Reads `province:factor8`, `card:factor8`.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let (level, form) = text.split_once(':').ok_or(InvalidPath::Element)?;
        let to = [KeyLevel::Province, KeyLevel::Card].into_iter().find(|to| to.name() == level);
        let form = [FactorForm::Block16, FactorForm::Factor8].into_iter().find(|known| known.name() == form);
        Ok(Self { to: to.ok_or(InvalidPath::Element)?, form: form.ok_or(InvalidPath::Element)? })
    }
}

/// `province:factor8`.
impl std::fmt::Display for PathElement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.to.name(), self.form.name())
    }
}

/// A path from national master to card key: an optional province step, then the card step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    province: bool,
}

impl Path {
    /// Checks the order: at most one province step, exactly one card step, last.
    ///
    /// `block16` elements are refused for now: profiles have no source of 16-byte factors yet.
    pub fn new(elements: &[PathElement]) -> Result<Self, InvalidPath> {
        if let Some(element) = elements.iter().find(|element| element.form == FactorForm::Block16) {
            return Err(InvalidPath::Block16 { to: element.to });
        }
        match elements.iter().map(|element| element.to).collect::<Vec<_>>().as_slice() {
            [KeyLevel::Card] => Ok(Self { province: false }),
            [KeyLevel::Province, KeyLevel::Card] => Ok(Self { province: true }),
            _ => Err(InvalidPath::Order),
        }
    }

    /// The steps, from the nation down.
    #[must_use]
    pub fn elements(&self) -> Vec<PathElement> {
        let step = |to| PathElement { to, form: FactorForm::Factor8 };
        let province = self.province.then(|| step(KeyLevel::Province));
        province.into_iter().chain([step(KeyLevel::Card)]).collect()
    }

    /// Whether there are provincial masters between nation and card.
    #[must_use]
    pub const fn has_province(&self) -> bool {
        self.province
    }

    /// The block from a national to a provincial master; `None` if the path has no such step.
    #[must_use]
    pub fn province_block(&self, province: ProvinceCode) -> Option<Block16> {
        self.province.then(|| block16(province.factor()))
    }

    /// The block from the lowest master (provincial where there is one) to a card key.
    #[must_use]
    pub fn card_block(&self, card: CardFactor) -> Block16 {
        block16(card.factor())
    }

    /// All blocks from a national master to a card key, in the order of their use.
    #[must_use]
    pub fn blocks_from_nation(&self, province: ProvinceCode, card: CardFactor) -> Vec<Block16> {
        self.province_block(province).into_iter().chain([self.card_block(card)]).collect()
    }
}

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// A 16-byte factor, for which there is no source.
    #[error("{}:block16: raw 16-byte factors are not supported by this build", .to.name())]
    Block16 {
        /// The level of the element.
        to: KeyLevel,
    },
    /// Not `level:form`.
    #[error("a path element is province:factor8 or card:factor8")]
    Element,
    /// Not \[province,\] card.
    #[error("a path is [province, card] or [card]")]
    Order,
}
