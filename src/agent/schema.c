#include "agent/schema.h"

#define COUNT(a) ((uint32_t)(sizeof(a) / sizeof(a)[0]))
#define SPEC(id, text, type, table)                                                                \
    const struct message_spec id = { text, sizeof(struct type), table, COUNT(table) }
#define AT(type, member) (uint16_t) offsetof(struct type, member)

/* A row: struct, member, JSON name, schema name when different, number, type. _HAS: presence in
 * has_<member>; _SUB: a message; _ENUM: named numbers. */
#define ROW(s, m, name, snake, number, type)                                                       \
    {                                                                                              \
        name, snake, number, MESSAGE_##type, AT(s, m), 0, 0, 0                                     \
    }
#define ROW_HAS(s, m, name, snake, number, type)                                                   \
    {                                                                                              \
        name, snake, number, MESSAGE_##type, AT(s, m), AT(s, has_##m), 0, 0                        \
    }
#define ROW_SUB(s, m, name, number, type, spec)                                                    \
    {                                                                                              \
        name, NULL, number, MESSAGE_##type, AT(s, m), 0, &spec, 0                                  \
    }
#define ROW_ENUM(s, m, name, number, names)                                                        \
    {                                                                                              \
        name, NULL, number, MESSAGE_ENUM, AT(s, m), 0, 0, names                                    \
    }

const struct message_spec schema_empty_spec = { "message", sizeof(struct schema_empty), NULL, 0 };

/* -- process.Process -- */

static const struct message_field pty_size_fields[] = {
    ROW(schema_pty_size, cols, "cols", NULL, 1, U32),
    ROW(schema_pty_size, rows, "rows", NULL, 2, U32),
};
static SPEC(pty_size_spec, "pty size", schema_pty_size, pty_size_fields);

static const struct message_field pty_fields[] = {
    ROW_SUB(schema_pty, size, "size", 1, SUB, pty_size_spec),
};
static SPEC(pty_spec, "pty", schema_pty, pty_fields);

static const struct message_field config_fields[] = {
    ROW(schema_config, cmd, "cmd", NULL, 1, STR),
    ROW(schema_config, args, "args", NULL, 2, STRS),
    ROW(schema_config, envs, "envs", NULL, 3, MAP),
    ROW_HAS(schema_config, cwd, "cwd", NULL, 4, STR),
};
static SPEC(config_spec, "process config", schema_config, config_fields);

static const struct message_field info_fields[] = {
    ROW_SUB(schema_info, config, "config", 1, SUB, config_spec),
    ROW(schema_info, pid, "pid", NULL, 2, U32),
    ROW_HAS(schema_info, tag, "tag", NULL, 3, STR),
};
static SPEC(info_spec, "process info", schema_info, info_fields);

static const struct message_field list_reply_fields[] = {
    ROW_SUB(schema_list_reply, processes, "processes", 1, SUBS, info_spec),
};
SPEC(schema_list_reply_spec, "list", schema_list_reply, list_reply_fields);

static const struct message_field start_fields[] = {
    ROW_SUB(schema_start, process, "process", 1, SUB, config_spec),
    ROW_SUB(schema_start, pty, "pty", 2, SUB, pty_spec),
    ROW_HAS(schema_start, tag, "tag", NULL, 3, STR),
    { "stdin", NULL, 4, MESSAGE_BOOL, AT(schema_start, stdin_open), AT(schema_start, has_stdin), 0,
      0 },
};
SPEC(schema_start_spec, "start request", schema_start, start_fields);

static const struct message_field event_start_fields[] = {
    ROW(schema_event_start, pid, "pid", NULL, 1, U32),
};
static SPEC(event_start_spec, "start event", schema_event_start, event_start_fields);

static const struct message_field event_data_fields[] = {
    ROW_HAS(schema_event_data, out, "stdout", NULL, 1, BYTES),
    ROW_HAS(schema_event_data, err, "stderr", NULL, 2, BYTES),
    ROW_HAS(schema_event_data, pty, "pty", NULL, 3, BYTES),
};
static SPEC(event_data_spec, "data event", schema_event_data, event_data_fields);

static const struct message_field event_end_fields[] = {
    ROW(schema_event_end, exit_code, "exitCode", "exit_code", 1, S32),
    ROW(schema_event_end, exited, "exited", NULL, 2, BOOL),
    ROW(schema_event_end, status, "status", NULL, 3, STR),
    ROW_HAS(schema_event_end, error, "error", NULL, 4, STR),
};
static SPEC(event_end_spec, "end event", schema_event_end, event_end_fields);

static const struct message_field event_fields[] = {
    ROW_SUB(schema_event, start, "start", 1, SUB, event_start_spec),
    ROW_SUB(schema_event, data, "data", 2, SUB, event_data_spec),
    ROW_SUB(schema_event, end, "end", 3, SUB, event_end_spec),
    ROW_SUB(schema_event, keepalive, "keepalive", 4, SUB, schema_empty_spec),
};
static SPEC(event_spec, "process event", schema_event, event_fields);

static const struct message_field event_reply_fields[] = {
    ROW_SUB(schema_event_reply, event, "event", 1, SUB, event_spec),
};
SPEC(schema_event_reply_spec, "event", schema_event_reply, event_reply_fields);

static const struct message_field selector_fields[] = {
    ROW_HAS(schema_selector, pid, "pid", NULL, 1, U32),
    ROW_HAS(schema_selector, tag, "tag", NULL, 2, STR),
};
static SPEC(selector_spec, "process selector", schema_selector, selector_fields);

static const struct message_field select_fields[] = {
    ROW_SUB(schema_select, process, "process", 1, SUB, selector_spec),
};
SPEC(schema_select_spec, "request", schema_select, select_fields);

static const struct message_field update_fields[] = {
    ROW_SUB(schema_update, process, "process", 1, SUB, selector_spec),
    ROW_SUB(schema_update, pty, "pty", 2, SUB, pty_spec),
};
SPEC(schema_update_spec, "update request", schema_update, update_fields);

static const struct message_field input_fields[] = {
    ROW_HAS(schema_input, input, "stdin", NULL, 1, BYTES),
    ROW_HAS(schema_input, pty, "pty", NULL, 2, BYTES),
};
static SPEC(input_spec, "process input", schema_input, input_fields);

static const struct message_field send_input_fields[] = {
    ROW_SUB(schema_send_input, process, "process", 1, SUB, selector_spec),
    ROW_SUB(schema_send_input, input, "input", 2, SUB, input_spec),
};
SPEC(schema_send_input_spec, "input request", schema_send_input, send_input_fields);

static const struct message_field stream_data_fields[] = {
    ROW_SUB(schema_stream_data, input, "input", 2, SUB, input_spec),
};
static SPEC(stream_data_spec, "input data", schema_stream_data, stream_data_fields);

static const struct message_field stream_input_fields[] = {
    ROW_SUB(schema_stream_input, start, "start", 1, SUB, schema_select_spec),
    ROW_SUB(schema_stream_input, data, "data", 2, SUB, stream_data_spec),
    ROW_SUB(schema_stream_input, keepalive, "keepalive", 3, SUB, schema_empty_spec),
};
SPEC(schema_stream_input_spec, "input stream request", schema_stream_input, stream_input_fields);

static const struct message_name signal_names[] = {
    { "SIGNAL_UNSPECIFIED", 0 },
    { "SIGNAL_SIGKILL", 9 },
    { "SIGNAL_SIGTERM", 15 },
    { NULL, 0 },
};
static const struct message_field signal_fields[] = {
    ROW_SUB(schema_signal, process, "process", 1, SUB, selector_spec),
    ROW_ENUM(schema_signal, signal, "signal", 2, signal_names),
};
SPEC(schema_signal_spec, "signal request", schema_signal, signal_fields);

/* -- boot and init -- */

static const struct message_field boot_fields[] = {
    ROW_HAS(schema_boot, sandbox_id, "sandboxID", NULL, 1, STR),
    ROW_HAS(schema_boot, template_id, "templateID", NULL, 2, STR),
    ROW_HAS(schema_boot, envs, "envVars", NULL, 3, MAP),
    ROW_HAS(schema_boot, system, "systemEnv", NULL, 4, MAP),
    ROW_HAS(schema_boot, token, "accessToken", NULL, 5, STR),
    ROW_HAS(schema_boot, user, "defaultUser", NULL, 6, STR),
    ROW_HAS(schema_boot, workdir, "defaultWorkdir", NULL, 7, STR),
    ROW(schema_boot, hostname, "hostname", NULL, 8, STR),
    ROW(schema_boot, timestamp, "timestamp", NULL, 9, STR),
    ROW_HAS(schema_boot, events, "eventsAddress", NULL, 10, STR),
    ROW(schema_boot, start, "startCmd", NULL, 11, STR),
    ROW(schema_boot, ready, "readyCmd", NULL, 12, STR),
    ROW(schema_boot, is_warm, "warm", NULL, 13, BOOL),
    ROW(schema_boot, ca_bundle, "caBundle", NULL, 14, STR),
    ROW_SUB(schema_boot, volume_mounts, "volumeMounts", 15, SUBS, schema_empty_spec),
};
SPEC(schema_boot_spec, "boot message", schema_boot, boot_fields);

static const struct message_field compose_fields[] = {
    ROW(schema_compose, sources, "source_paths", NULL, 1, STRS),
    ROW(schema_compose, destination, "destination", NULL, 2, STR),
    ROW(schema_compose, username, "username", NULL, 3, STR),
};
SPEC(schema_compose_spec, "compose request", schema_compose, compose_fields);

/* -- filesystem.Filesystem -- */

static const struct message_name file_type_names[] = {
    { "FILE_TYPE_UNSPECIFIED", 0 },
    { "FILE_TYPE_FILE", SCHEMA_TYPE_FILE },
    { "FILE_TYPE_DIRECTORY", SCHEMA_TYPE_DIRECTORY },
    { "FILE_TYPE_SYMLINK", 3 },
    { NULL, 0 },
};
static const struct message_name event_type_names[] = {
    { "EVENT_TYPE_UNSPECIFIED", 0 },
    { "EVENT_TYPE_CREATE", SCHEMA_EVENT_CREATE },
    { "EVENT_TYPE_WRITE", SCHEMA_EVENT_WRITE },
    { "EVENT_TYPE_REMOVE", SCHEMA_EVENT_REMOVE },
    { "EVENT_TYPE_RENAME", SCHEMA_EVENT_RENAME },
    { "EVENT_TYPE_CHMOD", SCHEMA_EVENT_CHMOD },
    { NULL, 0 },
};

static const struct message_field path_fields[] = {
    ROW(schema_path, path, "path", NULL, 1, STR),
};
SPEC(schema_path_spec, "request", schema_path, path_fields);

static const struct message_field move_fields[] = {
    ROW(schema_move, source, "source", NULL, 1, STR),
    ROW(schema_move, destination, "destination", NULL, 2, STR),
};
SPEC(schema_move_spec, "move request", schema_move, move_fields);

static const struct message_field list_dir_fields[] = {
    ROW(schema_list_dir, path, "path", NULL, 1, STR),
    ROW(schema_list_dir, depth, "depth", NULL, 2, U32),
};
SPEC(schema_list_dir_spec, "list request", schema_list_dir, list_dir_fields);

static const struct message_field entry_fields[] = {
    ROW(schema_entry, name, "name", NULL, 1, STR),
    ROW_ENUM(schema_entry, type, "type", 2, file_type_names),
    ROW(schema_entry, path, "path", NULL, 3, STR),
    ROW(schema_entry, size, "size", NULL, 4, I64),
    ROW(schema_entry, mode, "mode", NULL, 5, U32),
    ROW(schema_entry, permissions, "permissions", NULL, 6, STR),
    ROW(schema_entry, owner, "owner", NULL, 7, STR),
    ROW(schema_entry, group, "group", NULL, 8, STR),
    ROW(schema_entry, modified, "modifiedTime", "modified_time", 9, TIME),
    ROW_HAS(schema_entry, symlink_target, "symlinkTarget", "symlink_target", 10, STR),
    ROW(schema_entry, metadata, "metadata", NULL, 11, MAP),
};
SPEC(schema_entry_spec, "entry", schema_entry, entry_fields);

static const struct message_field entry_reply_fields[] = {
    ROW_SUB(schema_entry_reply, entry, "entry", 1, SUB, schema_entry_spec),
};
SPEC(schema_entry_reply_spec, "reply", schema_entry_reply, entry_reply_fields);

static const struct message_field entries_reply_fields[] = {
    ROW_SUB(schema_entries_reply, entries, "entries", 1, SUBS, schema_entry_spec),
};
SPEC(schema_entries_reply_spec, "list", schema_entries_reply, entries_reply_fields);

static const struct message_field watch_fields[] = {
    ROW(schema_watch, path, "path", NULL, 1, STR),
    ROW(schema_watch, recursive, "recursive", NULL, 2, BOOL),
    ROW(schema_watch, include_entry, "includeEntry", "include_entry", 3, BOOL),
    ROW(schema_watch, allow_network, "allowNetworkMounts", "allow_network_mounts", 4, BOOL),
};
SPEC(schema_watch_spec, "watch request", schema_watch, watch_fields);

static const struct message_field fs_event_fields[] = {
    ROW(schema_fs_event, name, "name", NULL, 1, STR),
    ROW_ENUM(schema_fs_event, type, "type", 2, event_type_names),
    ROW_SUB(schema_fs_event, entry, "entry", 3, SUB, schema_entry_spec),
};
static SPEC(fs_event_spec, "filesystem event", schema_fs_event, fs_event_fields);

static const struct message_field watch_reply_fields[] = {
    ROW_SUB(schema_watch_reply, start, "start", 1, SUB, schema_empty_spec),
    ROW_SUB(schema_watch_reply, filesystem, "filesystem", 2, SUB, fs_event_spec),
    ROW_SUB(schema_watch_reply, keepalive, "keepalive", 3, SUB, schema_empty_spec),
};
SPEC(schema_watch_reply_spec, "watch event", schema_watch_reply, watch_reply_fields);

static const struct message_field watcher_fields[] = {
    ROW(schema_watcher, watcher_id, "watcherId", "watcher_id", 1, STR),
};
SPEC(schema_watcher_spec, "watcher request", schema_watcher, watcher_fields);

static const struct message_field watcher_events_fields[] = {
    ROW_SUB(schema_watcher_events, events, "events", 1, SUBS, fs_event_spec),
};
SPEC(schema_watcher_events_spec, "watcher events", schema_watcher_events, watcher_events_fields);
