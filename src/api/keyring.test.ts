import { describe, expect, test } from "vitest";
import { parseApiKeys, readApiKeyFile } from "./keyring.ts";

describe("parseApiKeys", () => {
  test("keys, labels, comments, blank lines, Windows line ends", () => {
    const keyring = parseApiKeys("# ours\r\n\r\nsk-one\r\nteam-b: sk-two\r\n", "keys.txt");
    expect(keyring.size).toBe(2);
    expect(keyring.find("sk-one")?.label).toBe("key-1");
    expect(keyring.find("sk-two")?.label).toBe("team-b");
    expect(keyring.find("sk-one")?.id).not.toBe(keyring.find("sk-two")?.id);
    expect(keyring.find("sk-on")).toBeNull();
    expect(keyring.find("")).toBeNull();
    expect(keyring.find("team-b: sk-two")).toBeNull();
  });

  test("a key with a colon in it is a key", () => {
    expect(parseApiKeys("user:pass", "k").find("user:pass")?.label).toBe("key-1");
  });

  test("errors name the line and never hold the key", () => {
    expect(() => parseApiKeys("good\nsecret key\n", "keys.txt")).toThrow(/keys\.txt, line 2/);
    expect(() => parseApiKeys("good\nsecret key\n", "keys.txt")).not.toThrow(/secret/);
    expect(() => parseApiKeys("same\nsame", "keys.txt")).toThrow(/line 2: the same key/);
    expect(() => parseApiKeys("# nothing\n", "keys.txt")).toThrow("keys.txt holds no API key");
  });

  test("the keyring does not hold the key's text", () => {
    expect(JSON.stringify(parseApiKeys("sk-secret", "k").find("sk-secret"))).not.toContain("sk-secret");
  });
});

test("a missing file is an error of the configuration", () => {
  expect(() => readApiKeyFile("/nonexistent/keys")).toThrow(/\/nonexistent\/keys cannot be read/);
});
