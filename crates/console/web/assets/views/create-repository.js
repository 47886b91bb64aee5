// A new repository: a name.

import { Fields, operationForm } from "../lib/forms.js";
import { heading } from "../lib/parts.js";
import { path } from "../lib/router.js";

function render(context) {
  const fields = new Fields((context.ui.values ??= { name: "", isImmutable: false }), context);
  const { values } = context.ui;
  return [
    heading("Create a repository", { crumbs: [["Repositories", path("repositories")]] }),
    operationForm(context, {
      service: "ecr",
      operation: "CreateRepository",
      label: "Create the repository",
      back: path("repositories"),
      input: () => {
        if (!values.name.trim()) throw new Error("Give the repository a name.");
        return { repositoryName: values.name.trim(), imageTagMutability: values.isImmutable ? "IMMUTABLE" : undefined };
      },
      done: ({ repository }) => context.go(path("repositories", repository.repositoryName)),
    },
      fields.text("name", "Name", { hint: "Small letters and digits, with . _ - and / between them, as in team/web.", maxlength: "256", required: true, autofocus: true }),
      fields.check("isImmutable", "Tags cannot be moved", { hint: "A tag that was pushed once stays with its image." })),
  ];
}

export const createRepository = { section: "Repositories", title: () => "Create a repository", every: 3_600_000, render };
