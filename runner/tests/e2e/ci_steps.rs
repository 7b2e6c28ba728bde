//! What the files of docs/ci have a shell do, as the service that reads them would.

use yaml_rust2::{Yaml, YamlLoader};

/// What the workflow calls the action.
const ACTION: &str = "./docs/ci/github-action";

/// A script, and the patterns of the files that the service keeps after it, whatever comes of it.
pub struct Job {
    pub script: String,
    pub kept: Vec<String>,
}

/// The one document of a file.
fn parse(text: &str) -> Yaml {
    YamlLoader::load_from_str(text).unwrap().remove(0)
}

fn words(text: &str) -> Vec<String> {
    text.split([',', ' ', '\n']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A job of the workflow, on the machine with this share. Each step runs in a shell of its own. The
/// steps that are actions of others' are left out: what they bring and take is up to the test.
pub fn github(job: &str, share: usize) -> Job {
    let file = parse(include_str!("../../../docs/ci/github-actions.yml"));
    let matrix = |name: &str| {
        assert_eq!(name, "matrix.share");
        share.to_string()
    };
    let mut job_done = Job { script: String::new(), kept: Vec::new() };
    github_steps(&file["jobs"][job]["steps"], &matrix, &mut job_done);
    job_done
}

/// The same for the action as others use it, with these inputs.
pub fn github_action(inputs: &[(&str, &str)]) -> Job {
    let inputs = inputs.iter().map(|(name, value)| format!("    {name}: '{value}'\n"));
    let step = format!("- uses: {ACTION}\n  with:\n{}", inputs.collect::<String>());
    let mut job = Job { script: String::new(), kept: Vec::new() };
    github_steps(&parse(&step), &|name| panic!("{name}"), &mut job);
    job
}

fn github_steps(steps: &Yaml, value: &dyn Fn(&str) -> String, job: &mut Job) {
    for step in steps.as_vec().unwrap() {
        let always = match step["if"].as_str() {
            None => false,
            Some("always()") => true,
            Some(condition) => match condition.strip_suffix(" == ''") {
                Some(name) if value(name).is_empty() => false,
                Some(_) => continue,
                None => panic!("{condition}"),
            },
        };
        let uses = step["uses"].as_str().unwrap_or_default();
        if let Some(run) = step["run"].as_str() {
            let env = step["env"].as_hash().into_iter().flatten().map(|(name, text)| {
                let text = filled(text.as_str().unwrap(), value);
                format!("export {}={}\n", name.as_str().unwrap(), shlex::try_quote(&text).unwrap())
            });
            let env: String = env.collect();
            job.script += &format!("(\n{env}{}\n)\n", filled(run, value));
        } else if uses == ACTION {
            let action = parse(include_str!("../../../docs/ci/github-action/action.yml"));
            let input = |name: &str| {
                let name = name.strip_prefix("inputs.").unwrap();
                let given = step["with"][name].as_str().map(|text| filled(text, value));
                let default = action["inputs"][name]["default"].as_str();
                given.or(default.map(str::to_owned)).unwrap_or_else(|| panic!("{name}"))
            };
            github_steps(&action["runs"]["steps"], &input, job);
        } else if uses.starts_with("actions/upload-artifact@") && always {
            job.kept.extend(words(step["with"]["path"].as_str().unwrap()));
        }
    }
}

/// A text with its expressions evaluated.
fn filled(text: &str, value: &dyn Fn(&str) -> String) -> String {
    let mut parts = text.split("${{");
    let mut filled = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap();
        filled += &value(name.trim());
        filled += rest;
    }
    filled
}

/// A job of one of the files for GitLab, which has its variables in its environment. What a job
/// extends, but for the templates of Xen's own file, is looked up.
pub fn gitlab(file: &str, job: &str) -> Job {
    let file = parse(file);
    let own = &file[job];
    let base = &file[own["extends"].as_str().unwrap_or_default()];
    let of = |key: &str| if own[key].is_badvalue() { &base[key] } else { &own[key] };
    let variables = of("variables").as_hash().into_iter().flatten();
    let text = |yaml: &Yaml| yaml.as_str().unwrap().to_owned();
    let export = |(name, value)| format!("export {}='{}'", text(name), text(value));
    let mut lines: Vec<String> = variables.map(export).collect();
    for key in ["before_script", "script"] {
        lines.extend(of(key).as_vec().into_iter().flatten().map(text));
    }
    let artifacts = of("artifacts");
    let always = artifacts["when"].as_str() == Some("always");
    let kept = artifacts["paths"].as_vec().into_iter().flatten().filter(|_| always);
    Job { script: lines.join("\n"), kept: kept.map(text).collect() }
}

/// A stage of the Jenkinsfile, with what it unstashes below `stashes/`. Blocks open at the end of a line,
/// and a shell's lines are quoted by `'` or, over several lines, by `'''`.
pub fn jenkins(stage: &str, share: usize) -> Job {
    let file = include_str!("../../../docs/ci/Jenkinsfile");
    let mut job = Job { script: String::new(), kept: Vec::new() };
    let mut blocks: Vec<&str> = Vec::new();
    let mut lines = file.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let here = blocks.iter().any(|block| *block == format!("stage('{stage}') {{"));
        let within = |name: &str| blocks.iter().any(|block| block.starts_with(name));
        if line.ends_with('{') {
            blocks.push(line);
        } else if line == "}" {
            blocks.pop();
        } else if let Some(step) = line.strip_prefix("sh '").filter(|_| here) {
            let step = match step.strip_prefix("''") {
                Some(_) => {
                    lines.by_ref().take_while(|line| *line != "'''").collect::<Vec<_>>().join("\n")
                }
                None => step.strip_suffix('\'').unwrap().to_owned(),
            };
            // Whatever comes of a share, the report follows.
            let runs = step.contains("xtf-runner run");
            assert!(!runs || within("catchError("), "{step}");
            job.script += &format!("{step}\n");
        } else if let Some(name) = line.strip_prefix("unstash ").filter(|_| here) {
            let name = name.trim_matches('\'');
            // A share that was lost must not keep the report from being made.
            let caught = within("catchError(");
            assert!(caught || !name.starts_with("share-"), "{name}");
            let or = if caught { "|| true" } else { "" };
            job.script += &format!("cp -r stashes/{name}/. . {or}\n");
        } else if here && within("post {") && within("always {") {
            let line = line.replace("${SHARE}", &share.to_string()).replace("/**", "");
            let steps = ["archiveArtifacts artifacts: ", "includes: ", "junit "];
            let files = steps.iter().find_map(|step| line.split_once(step));
            let quoted =
                files.map(|(_, files)| files.split(['\'', '"']).nth(1).unwrap().to_owned());
            job.kept.extend(quoted);
        }
    }
    assert!(blocks.is_empty(), "{blocks:?}");
    job
}
