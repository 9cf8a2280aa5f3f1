/* What control asks of the puller, at $STATE/run/pull.sock: one connection, one image. Closing it
 * ends the pull. */
#pragma once

enum pull_verb {
    PULL_START = 1, /* PK_HOST PK_PATH PK_REFERENCE PK_PLAIN PK_KNOWN, PK_USER PK_PASSWORD (both
                       absent: none) PK_REGION (with a key of AWS); one descriptor: the directory
                       that gets a file for each layer */
    PULL_SAY,       /* PK_TEXT: a line for the log */
    PULL_LAYER,     /* PK_FILE PK_SIZE: a layer, whole and as its digest says; lowest first */
    PULL_DONE,   /* PK_DIGEST of the image, PK_CONFIG: its configuration, JSON. When the digest is
                    PK_KNOWN there were no layers. */
    PULL_FAILED, /* PK_TEXT: the sentence */
};

enum pull_key {
    PK_HOST = 1,  /* str, with a port */
    PK_PATH,      /* str, of the repository */
    PK_REFERENCE, /* str, tag or digest */
    PK_PLAIN,     /* u64, 1: without TLS */
    PK_USER,      /* str */
    PK_PASSWORD,  /* str */
    PK_KNOWN,     /* str, digests of images that need no layers, commas between */
    PK_TEXT,      /* str */
    PK_FILE,      /* str, a name without '/' */
    PK_SIZE,      /* u64, bytes */
    PK_DIGEST,    /* str, "sha256:..." */
    PK_CONFIG,    /* str, JSON of strings: the environment, "NAME=value" */
    PK_REGION,    /* str, of AWS, whose key user and password are then */
};
