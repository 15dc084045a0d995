//! For which platforms an image is built: one plan a platform, over one graph.

use std::collections::BTreeMap;

use builder::Image;
use frontend::{Lowered, Plan, Provided, Wanted};
use oci::Platform;

use super::dockerfile::Source;
use super::report;
use crate::context::variable;
use crate::error::{Error, Result};
use crate::resolve::Resolver;

/// What docker builds for where nothing else is said.
const DEFAULT: &str = "DOCKER_DEFAULT_PLATFORM";
/// The machine's own platform, in buildx's words.
const LOCAL: &str = "local";

/// Options about platforms.
#[derive(Debug, clap::Args)]
pub(super) struct PlatformArgs {
    /// The platform of the image; several, with commas between them or each with a --platform, make an index
    #[arg(long, value_name = "OS/ARCH")]
    platform: Vec<String>,
    /// Every platform that all base images are there for
    #[arg(long, conflicts_with = "platform")]
    pub(super) all_platforms: bool,
    /// Its operating system alone, as buildah has it
    #[arg(long, hide = true, value_name = "OS", conflicts_with = "platform")]
    os: Option<String>,
    /// Its processor architecture alone
    #[arg(long, hide = true, value_name = "ARCH", conflicts_with = "platform")]
    arch: Option<String>,
    /// Its variant of the architecture alone
    #[arg(long, hide = true, value_name = "VARIANT", conflicts_with = "platform")]
    variant: Option<String>,
}

impl PlatformArgs {
    /// The platforms in the order they were given, each once; the machine's own where none is.
    pub(super) fn all(&self) -> Result<Vec<Platform>> {
        if self.os.is_some() || self.arch.is_some() || self.variant.is_some() {
            let host = Platform::host();
            let (os, arch) = (self.os.as_deref(), self.arch.as_deref());
            let variant = self.variant.as_deref();
            return Ok(vec![Platform::new(os.unwrap_or(&host.os), arch.unwrap_or(&host.architecture), variant)]);
        }
        let all = list(&self.platform.join(","), "--platform")?;
        if !all.is_empty() {
            return Ok(all);
        }
        let all = list(&variable(DEFAULT).unwrap_or_default(), DEFAULT)?;
        Ok(if all.is_empty() { vec![Platform::host()] } else { all })
    }
}

/// Reads `a,b`; `from` is who said it.
fn list(text: &str, from: &str) -> Result<Vec<Platform>> {
    let mut all: Vec<Platform> = Vec::new();
    for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        let platform = match one {
            LOCAL => Platform::host(),
            other => other.parse().map_err(|error: oci::PlatformError| Error::usage(format!("{from}: {error}")))?,
        };
        if !all.contains(&platform) {
            all.push(platform);
        }
    }
    Ok(all)
}

/// The platforms that every base of a Dockerfile is there for, as their indexes say.
pub(super) fn of_bases(
    resolver: &mut Resolver<'_>,
    source: &Source,
    options: &frontend::Options,
) -> Result<Vec<Platform>> {
    let mut answers = BTreeMap::new();
    one(resolver, source, options.clone(), &mut answers)?;
    let mut common: Option<Vec<Platform>> = None;
    for wanted in answers.keys() {
        let Wanted::Image { reference, .. } = wanted else { continue };
        let offered = resolver.platforms(reference)?;
        common = Some(match common {
            None => offered,
            Some(common) => common.into_iter().filter(|one| one.best_of(&offered).is_some()).collect(),
        });
    }
    match common {
        Some(common) if !common.is_empty() => Ok(common),
        Some(_) => Err(Error::failed("--all-platforms: there is no platform that every base image is there for")),
        None => Err(Error::usage("--all-platforms: no base image says which platforms there are")
            .hint("name them: --platform linux/amd64,linux/arm64")),
    }
}

/// Dockerfile to graph, for each platform: the plan asks, the store answers, or a registry. What plans have in common is
/// asked once, and there once. Gives the first plan with the graph of all, and the images.
pub(super) fn lower(
    resolver: &mut Resolver<'_>,
    source: &Source,
    options: &frontend::Options,
    platforms: &[Platform],
) -> Result<(Lowered, Vec<Image>)> {
    let mut answers = BTreeMap::new();
    let mut plans = Vec::with_capacity(platforms.len());
    for platform in platforms {
        let options = frontend::Options { platform: platform.clone(), several: platforms.len() > 1, ..options.clone() };
        plans.push(one(resolver, source, options, &mut answers)?);
    }
    together(platforms, plans).ok_or_else(|| Error::usage("there is no platform to build for"))
}

/// The plan of one platform. What was answered before is not asked again.
pub(super) fn one(
    resolver: &mut Resolver<'_>,
    source: &Source,
    options: frontend::Options,
    answers: &mut BTreeMap<Wanted, Provided>,
) -> Result<Lowered> {
    let how = frontend::How { check: super::options::check(&options), ..frontend::How::default() };
    let parsed = frontend::parse_how(&source.text, &how);
    if parsed.diagnostics.iter().any(frontend::Diagnostic::is_error) {
        return Err(report::refuse(source, &parsed.diagnostics));
    }
    let mut plan =
        Plan::new(parsed.dockerfile, &source.text, options).map_err(|found| report::refuse(source, &found))?;
    while let Some(wanted) = plan.wanted() {
        let provided = match answers.get(&wanted) {
            Some(known) => known.clone(),
            None => resolver.answer(&wanted).map_err(|error| report::place(source, &wanted, error))?,
        };
        answers.insert(wanted.clone(), provided.clone());
        plan.provide(wanted, provided).map_err(|found| report::refuse(source, &found))?;
    }
    let mut lowered = plan.lower().map_err(|found| report::refuse(source, &found))?;
    let earlier = parsed.diagnostics.into_iter().filter(|found| !found.is_error());
    lowered.warnings.splice(0..0, earlier);
    Ok(lowered)
}

/// The plans of these platforms over one graph. Warnings that several have are told once; an argument that one of them takes
/// is used.
fn together(platforms: &[Platform], plans: Vec<Lowered>) -> Option<(Lowered, Vec<Image>)> {
    let mut plans = plans.into_iter().zip(platforms);
    let (mut all, platform) = plans.next()?;
    let image = |platform: &Platform, plan: &Lowered| Image {
        platform: platform.clone(),
        root: plan.root,
        config: plan.config.clone(),
        base: plan.base,
    };
    let mut images = vec![image(platform, &all)];
    for (mut plan, platform) in plans {
        let here = all.graph.absorb(std::mem::take(&mut plan.graph));
        plan.root = here[plan.root.index()];
        plan.base = plan.base.map(|base| here[base.index()]);
        images.push(image(platform, &plan));
        for warning in plan.warnings {
            if !all.warnings.contains(&warning) {
                all.warnings.push(warning);
            }
        }
        all.unused_args.retain(|unused| plan.unused_args.contains(unused));
        all.used_args.extend(plan.used_args);
    }
    Some((all, images))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(args: &[&str]) -> Result<Vec<String>> {
        let platform = args.iter().map(|&arg| arg.to_owned()).collect();
        let args = PlatformArgs { platform, all_platforms: false, os: None, arch: None, variant: None };
        Ok(args.all()?.iter().map(Platform::to_string).collect())
    }

    #[test]
    fn platforms_as_people_write_them() {
        let host = Platform::host().to_string();
        for (written, expected) in [
            (&["linux/arm64,linux/amd64"][..], &["linux/arm64", "linux/amd64"][..]),
            (&["linux/arm64", "linux/amd64", "linux/aarch64"], &["linux/arm64", "linux/amd64"]),
            (&["arm64, local"], &["linux/arm64", &host]),
            (&["linux/arm/v7,"], &["linux/arm/v7"]),
        ] {
            assert_eq!(all(written).unwrap(), expected, "{written:?}");
        }
        assert!(all(&["linux/amd64,what?"]).unwrap_err().message().contains("`what?` is not a platform"));
    }

    #[test]
    fn plans_of_several_platforms_share_what_is_equal() {
        let text = "FROM scratch AS a\nCOPY x /\nFROM scratch\nARG TARGETARCH\nCOPY --from=a x /$TARGETARCH\n";
        let platforms: Vec<Platform> = ["linux/amd64", "linux/arm64"].map(|one| one.parse().unwrap()).to_vec();
        let plans = platforms.iter().map(|platform| {
            let options =
                frontend::Options { platform: platform.clone(), several: true, ..frontend::Options::default() };
            super::super::lower_text("Dockerfile", text.to_owned(), options).unwrap()
        });
        let (lowered, images) = together(&platforms, plans.collect()).unwrap();
        assert_eq!(images[0].root, lowered.root);
        assert_ne!(images[0].root, images[1].root);
        // The empty tree, the context, one COPY of both, and one of each.
        assert_eq!(lowered.graph.len(), 5);
        let names: Vec<_> = lowered.graph.vertices().map(|(_, vertex)| vertex.meta().name.clone()).collect();
        assert!(names.contains(&"[linux/amd64 a 1/1] COPY x /".to_owned()), "{names:?}");
        assert!(names.contains(&"[linux/arm64 stage-1 1/1] COPY --from=a x /arm64".to_owned()), "{names:?}");
    }
}
