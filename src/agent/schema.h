/* The messages of process.Process and filesystem.Filesystem (core.md 3.2, 3.3) as structs and
 * field tables. A member `has_x` tells presence where the schema has it explicit or in a oneof. */
#pragma once

#include "wire/message.h"

struct schema_empty {
    char unused;
};

/* -- process.Process -- */

struct schema_pty_size {
    uint32_t cols, rows;
};
struct schema_pty {
    struct schema_pty_size *size;
};
struct schema_config {
    struct str cmd;
    struct message_list args; /* struct str */
    struct message_list envs; /* struct message_pair */
    struct str cwd;
    bool has_cwd;
};
struct schema_info {
    struct schema_config *config;
    uint32_t pid;
    struct str tag;
    bool has_tag;
};
struct schema_list_reply {
    struct message_list processes; /* struct schema_info */
};
struct schema_start {
    struct schema_config *process;
    struct schema_pty *pty;
    struct str tag;
    bool has_tag, stdin_open, has_stdin;
};
struct schema_event_start {
    uint32_t pid;
};
struct schema_event_data {
    struct str out, err, pty;
    bool has_out, has_err, has_pty;
};
struct schema_event_end {
    int32_t exit_code;
    bool exited;
    struct str status, error;
    bool has_error;
};
struct schema_event {
    struct schema_event_start *start;
    struct schema_event_data *data;
    struct schema_event_end *end;
    struct schema_empty *keepalive;
};
struct schema_event_reply {
    struct schema_event *event;
};
struct schema_selector {
    uint32_t pid;
    struct str tag;
    bool has_pid, has_tag;
};
struct schema_select { /* ConnectRequest, CloseStdinRequest */
    struct schema_selector *process;
};
struct schema_update {
    struct schema_selector *process;
    struct schema_pty *pty;
};
struct schema_input {
    struct str input, pty;
    bool has_input, has_pty;
};
struct schema_send_input {
    struct schema_selector *process;
    struct schema_input *input;
};
struct schema_stream_data {
    struct schema_input *input;
};
struct schema_stream_input {
    struct schema_select *start;
    struct schema_stream_data *data;
    struct schema_empty *keepalive;
};
struct schema_signal {
    struct schema_selector *process;
    int32_t signal;
};

extern const struct message_spec schema_empty_spec, schema_start_spec, schema_event_reply_spec,
    schema_list_reply_spec, schema_select_spec, schema_update_spec, schema_send_input_spec,
    schema_stream_input_spec, schema_signal_spec;

/* -- the boot message (ipc/engine_proto.h) and POST /init (core.md 4.2) -- */

struct schema_boot {
    struct str sandbox_id, template_id, token, user, workdir, hostname, timestamp, events;
    struct str start, ready;          /* commands */
    struct message_list envs, system; /* struct message_pair */
    bool has_sandbox_id, has_template_id, has_token, has_user, has_workdir, has_envs, has_system;
    bool has_events, is_warm;
    struct str ca_bundle; /* both are only known in order to be refused */
    struct message_list volume_mounts;
};

struct schema_compose {          /* POST /files/compose */
    struct message_list sources; /* struct str */
    struct str destination, username;
};

extern const struct message_spec schema_boot_spec, schema_compose_spec;

/* -- filesystem.Filesystem -- */

enum schema_file_type { SCHEMA_TYPE_NONE, SCHEMA_TYPE_FILE, SCHEMA_TYPE_DIRECTORY };
enum schema_event_type {
    SCHEMA_EVENT_NONE,
    SCHEMA_EVENT_CREATE,
    SCHEMA_EVENT_WRITE,
    SCHEMA_EVENT_REMOVE,
    SCHEMA_EVENT_RENAME,
    SCHEMA_EVENT_CHMOD,
};

struct schema_path { /* Stat, MakeDir, Remove */
    struct str path;
};
struct schema_move {
    struct str source, destination;
};
struct schema_list_dir {
    struct str path;
    uint32_t depth;
};
struct schema_entry {
    struct str name, path, permissions, owner, group, symlink_target;
    int32_t type;
    int64_t size;
    uint32_t mode;
    struct message_time modified;
    bool has_symlink_target;
    struct message_list metadata; /* struct message_pair */
};
struct schema_entry_reply {
    struct schema_entry *entry;
};
struct schema_entries_reply {
    struct message_list entries; /* struct schema_entry */
};
struct schema_watch {
    struct str path;
    bool recursive, include_entry, allow_network;
};
struct schema_fs_event {
    struct str name;
    int32_t type;
    struct schema_entry *entry;
};
struct schema_watch_reply {
    struct schema_empty *start;
    struct schema_fs_event *filesystem;
    struct schema_empty *keepalive;
};
struct schema_watcher { /* GetWatcherEvents, RemoveWatcher; reply of CreateWatcher */
    struct str watcher_id;
};
struct schema_watcher_events {
    struct message_list events; /* struct schema_fs_event */
};

extern const struct message_spec schema_path_spec, schema_move_spec, schema_list_dir_spec,
    schema_entry_spec, schema_entry_reply_spec, schema_entries_reply_spec, schema_watch_spec,
    schema_watch_reply_spec, schema_watcher_spec, schema_watcher_events_spec;
