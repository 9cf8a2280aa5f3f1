/* The code interpreter. */
#include "check.h"

static struct belljar_sandbox *s;

static const struct belljar_shown *find(const struct belljar_execution *e, const char *format)
{
    for (size_t i = 0; i < e->shown_count; i++)
        if (strcmp(e->shown[i].format, format) == 0)
            return &e->shown[i];
    return NULL;
}

static void test_value(void)
{
    struct belljar_execution e;
    CHECK(belljar_run_code(s, "x = 20", NULL, &e) == 0 && e.shown_count == 0 &&
          e.execution_count > 0);
    belljar_execution_free(&e);
    CHECK(belljar_run_code(s, "print('hi'); import sys; print('no', file=sys.stderr); x + 1", NULL,
                           &e) == 0);
    CHECK_TEXT(e.out, "hi\n");
    CHECK_TEXT(e.err, "no\n");
    CHECK(e.shown_count == 1 && e.shown[0].is_main && e.shown[0].result == 0);
    CHECK(e.shown_count == 1 && strcmp(e.shown[0].format, "text") == 0 &&
          strcmp(e.shown[0].value, "21") == 0);
    CHECK(!e.error_name);
    belljar_execution_free(&e);
    belljar_execution_free(&e);
    CHECK(belljar_run_code(s, "print('a\\0b\xc3\xbc')", NULL, &e) == 0);
    CHECK_TEXT(e.out, "a\xef\xbf\xbd"
                      "b\xc3\xbc\n"); /* a NUL cannot be in a string of C */
    belljar_execution_free(&e);
}

static void test_error(void)
{
    struct belljar_execution e;
    CHECK(belljar_run_code(s, "print('first')\n1/0", NULL, &e) == 0);
    CHECK_TEXT(e.out, "first\n");
    CHECK_TEXT(e.error_name, "ZeroDivisionError");
    CHECK_TEXT(e.error_value, "division by zero");
    CHECK_HAS(e.traceback, "1/0");
    belljar_execution_free(&e);
}

static void test_shown(void)
{
    struct belljar_execution e;
    CHECK(belljar_run_code(s,
                           "import matplotlib.pyplot as plt\n"
                           "from IPython.display import display, HTML, JSON\n"
                           "display(HTML('<b>x</b>')); display(JSON({'a': [1, None]}))\n"
                           "display({'application/x-own': 'mine'}, raw=True)\n"
                           "plt.plot([1, 2]); plt.title('t'); plt.show()",
                           NULL, &e) == 0);
    const struct belljar_shown *png = find(&e, "png"), *chart = find(&e, "chart");
    const struct belljar_shown *html = find(&e, "html"), *json = find(&e, "json");
    const struct belljar_shown *own = find(&e, "application/x-own");
    CHECK(png && strncmp(png->value, "iVBORw0KGgo", 11) == 0 && !png->is_main);
    size_t size = 0;
    char *bytes = png ? belljar_shown_bytes(png, &size) : NULL;
    CHECK(bytes && size > 1000 && memcmp(bytes, "\x89PNG\r\n", 6) == 0);
    free(bytes);
    bytes = html ? belljar_shown_bytes(html, &size) : NULL;
    CHECK_TEXT(bytes, "<b>x</b>");
    free(bytes);
    struct belljar_shown broken = { .format = "png", .value = "*" };
    CHECK(!belljar_shown_bytes(&broken, &size) && size == 0);
    CHECK(chart && png && chart->result == png->result);
    CHECK_HAS(chart ? chart->value : NULL, "\"title\":\"t\"");
    CHECK_TEXT(html ? html->value : NULL, "<b>x</b>");
    CHECK_TEXT(json ? json->value : NULL, "{\"a\":[1,null]}");
    CHECK_TEXT(own ? own->value : NULL, "mine");
    belljar_execution_free(&e);
}

static void count_text(void *data, const char *text) { *(size_t *)data += strlen(text); }

static void test_output(void)
{
    struct belljar_execution e;
    size_t seen = 0;
    struct belljar_code_options o = { .on_stdout = count_text, .data = &seen };
    CHECK(belljar_run_code(s, "for i in range(1000): print('x' * 9999)", &o, &e) == 0);
    CHECK(seen == 10000000);
    CHECK_TEXT(e.out, "");
    belljar_execution_free(&e);
    CHECK(belljar_run_code(s, "'y' * 3000000", NULL, &e) == 0 && e.shown_count == 1 &&
          strlen(e.shown[0].value) == 3000000); /* one long line */
    belljar_execution_free(&e);
}

static void test_timeout(void)
{
    struct belljar_execution e;
    CHECK(belljar_run_code(s, "print('go', flush=True)\nimport time\ntime.sleep(60)",
                           &(struct belljar_code_options){ .timeout_ms = 1000 }, &e) == -ETIMEDOUT);
    CHECK_TEXT(e.out, "go\n");
    CHECK_HAS(belljar_error(b), "1000 ms");
    belljar_execution_free(&e);
    CHECK(belljar_run_code(s, "1 + 1", NULL, &e) == 0 && e.shown_count == 1); /* interrupted */
    belljar_execution_free(&e);
}

static void test_contexts(void)
{
    struct belljar_pair envs[] = { { "GIVEN", "it's" }, { 0 } };
    struct belljar_execution e;
    char *id = belljar_context(s, "bash", "/tmp");
    struct belljar_code_options o = { .context = id, .envs = envs };
    CHECK(id != NULL);
    CHECK(belljar_run_code(s, "pwd; echo $GIVEN", &o, &e) == 0);
    CHECK_TEXT(e.out, "/tmp\nit's\n");
    belljar_execution_free(&e);
    CHECK(belljar_context_remove(s, id) == 0);
    CHECK(belljar_context_remove(s, id) == -ENOENT);
    CHECK(belljar_run_code(s, "1", &o, &e) == -ENOENT);
    CHECK_HAS(belljar_error(b), id);
    belljar_execution_free(&e);
    free(id);
    CHECK(belljar_run_code(s, "1 + 2", &(struct belljar_code_options){ .language = "javascript" },
                           &e) == 0);
    CHECK(e.shown_count == 1 && strcmp(e.shown[0].value, "3") == 0);
    belljar_execution_free(&e);
    CHECK(belljar_run_code(s, "1", &(struct belljar_code_options){ .language = "cobol" }, &e) < 0);
    belljar_execution_free(&e);
    CHECK(!belljar_context(s, "cobol", NULL) && belljar_error(b)[0]);
    CHECK(belljar_run_code(s, "\xff", NULL, &e) == -EILSEQ);
    belljar_execution_free(&e);
}

static void test_none_there(void)
{
    struct belljar_sandbox *t = belljar_create(b, NULL);
    struct belljar_execution e;
    CHECK(t && belljar_run_code(t, "1", NULL, &e) == -ECONNREFUSED);
    CHECK_HAS(belljar_error(b), "code-interpreter-v1");
    belljar_execution_free(&e);
    CHECK(belljar_kill(t) == 0);
    CHECK(t && belljar_run_code(t, "1", NULL, &e) == -EHOSTDOWN);
    belljar_execution_free(&e);
    belljar_sandbox_free(t);
}

int main(void)
{
    static const struct check tests[] = {
        { "values and output", test_value },
        { "code that fails", test_error },
        { "pictures, charts and other formats", test_shown },
        { "much output", test_output },
        { "a timeout interrupts", test_timeout },
        { "contexts and languages", test_contexts },
        { "a template without a code interpreter", test_none_there },
    };
    b = belljar_open(NULL);
    s = b ? belljar_create(b, &(struct belljar_create_options){ .from = "code-interpreter-v1" })
          : NULL;
    int rc = s ? check_all(tests, sizeof tests / sizeof *tests) : 1;
    (void)belljar_kill(s);
    belljar_sandbox_free(s);
    belljar_close(b);
    return rc;
}
