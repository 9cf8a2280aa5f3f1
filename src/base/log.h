/* One line per event to standard error: time, level, program, text. Text from outside is printed
 * with control bytes replaced, so that a hostile string cannot forge a line. */
#pragma once

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Sets the program name shown in each line and the lowest level printed. `name` must outlive the
 * process (a literal). BELLJAR_LOG=debug|info|warn|error overrides `level`. */
void log_init(const char *name, enum log_level level);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *fmt, ...);

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
