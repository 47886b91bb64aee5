// The images of one repository.

import { all, call } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { card, command, copyable, empty, facts, filterField, heading, matches, table, time } from "../lib/parts.js";
import { path } from "../lib/router.js";
import { bytes, count, shortDigest, words } from "../lib/text.js";
import { pushCommands } from "./repositories.js";

async function load({ params, signal }) {
  const repositoryName = params.repository;
  const [described, images] = await Promise.all([
    call("ecr", "DescribeRepositories", { repositoryNames: [repositoryName] }, signal),
    all("ecr", "DescribeImages", { repositoryName }, "imageDetails", { signal }),
  ]);
  return { repository: described.repositories[0], images: images.sort((a, b) => b.imagePushedAt - a.imagePushedAt) };
}

const KINDS = [["index", "Index"], ["manifest.list", "Index"], ["manifest", "Image"]];
const kind = (type = "") => KINDS.find(([part]) => type.includes(part))?.[1] ?? type;

function render(context) {
  const { repository, images } = context.data;
  const shown = images.filter(({ imageDigest, imageTags }) => matches(context, imageDigest, ...(imageTags ?? [])));
  return [
    heading(repository.repositoryName, { crumbs: [["Repositories", path("repositories")]] }),
    card(null, { key: "facts" }, facts([
      ["Name for clients", copyable(repository.repositoryUri)],
      ["Images", count(images.length, "image")],
      ["Size", bytes(images.reduce((total, { imageSizeInBytes }) => total + (imageSizeInBytes ?? 0), 0))],
      ["Tags", words(repository.imageTagMutability)],
      ["ARN", copyable(repository.repositoryArn)],
    ])),
    images.length > 0 && h("div", { class: "toolbar", key: "toolbar" }, filterField(context, "Filter by tag or digest")),
    card("Images", { flush: true, key: "images" }, table([
      { name: "Tags", cell: (one) => ((one.imageTags ?? []).length > 0 ? one.imageTags.map((tag) => h("span", { class: "tag", key: tag }, tag)) : h("span", { class: "dim" }, "untagged")) },
      { name: "Digest", cell: (one) => h("span", { class: "copyable", title: one.imageDigest }, h("code", null, `sha256:${shortDigest(one.imageDigest)}`)) },
      { name: "For task definitions", wide: true, cell: (one) => copyable((one.imageTags ?? []).length > 0 ? `${repository.repositoryUri}:${one.imageTags[0]}` : `${repository.repositoryUri}@${one.imageDigest}`) },
      { name: "Size", number: true, cell: (one) => bytes(one.imageSizeInBytes) },
      { name: "Kind", cell: (one) => kind(one.imageManifestMediaType) },
      { name: "Pushed", cell: (one) => time(one.imagePushedAt) },
      { name: "Last pulled", cell: (one) => time(one.lastRecordedPullTime) ?? "—" },
    ], shown, { key: (one) => one.imageDigest, label: "Images", empty: images.length > 0 ? empty("No image matches") : empty("No image yet", "Any OCI client pushes here; the commands stand below.") })),
    card("Push", { key: "push" }, command(pushCommands(repository.repositoryUri, repository.repositoryName).split("\n").slice(1).join("\n"), "Push commands")),
  ];
}

export const repository = { section: "Repositories", title: ({ params }) => params.repository, watches: ["ecr/", "registry/"], load, render };
