#!/usr/bin/env escript
%%! +S 1
%% Plays the scenarios on OTP's gen_statem and writes down what happens: see README.md.
-module(record).
-mode(compile).
-export([init/1, callback_mode/0, handle_event/4, a/3, b/3, c/3, d/3, terminate/3]).

-define(SETTLE, 20).

%% record.escript [FOLDER FACTOR NAME...]: all scenarios, or those that are named, with all times FACTOR times as long.
main(Args) ->
    Here = filename:dirname(escript:script_name()),
    {Out, Factor, Names} = case Args of
        [] -> {Here, 1, []};
        [Folder, F | Some] -> {Folder, list_to_integer(F), Some}
    end,
    persistent_term:put(factor, Factor),
    logger:set_primary_config(level, none),
    {ok, Text} = file:read_file(filename:join(Here, "scenarios.txt")),
    Scenarios = parse(string:split(binary_to_list(Text), "\n", all)),
    [record(S, Out) || #{name := Name} = S <- Scenarios, Names =:= [] orelse lists:member(Name, Names)],
    ok.

%% Both callback modes, which must not differ.
record(#{name := Name} = Scenario, Out) ->
    Functions = iolist_to_binary(play(Scenario, state_functions)),
    Trace = case iolist_to_binary(play(Scenario, handle_event_function)) of
        Functions -> Functions;
        Other -> [Functions, "the callback modes differ\n", Other]
    end,
    ok = file:write_file(filename:join(Out, Name ++ ".trace"), Trace).

time(Millis) -> Millis * persistent_term:get(factor).

%% Scenarios.

parse(Lines) -> lists:reverse(lists:foldl(fun parse/2, [], Lines)).

parse(Line, Done) ->
    case {string:lexemes(Line, " "), Done} of
        {["scenario", Name | Options], _} ->
            [#{name => Name, enter => lists:member("enter", Options), init => {a, []}, rules => #{}, commands => []} | Done];
        {["init", State | Actions], [S | Rest]} ->
            [S#{init := {list_to_atom(State), actions(Actions)}} | Rest];
        {["on", State, Type, Content, "->" | Result], [S | Rest]} ->
            [rule({State, Type, Content}, Result, S) | Rest];
        {["enter", State, "->" | Result], [S | Rest]} ->
            [rule({State, "enter", "*"}, Result, S) | Rest];
        {["do" | Command], [#{commands := Commands} = S | Rest]} ->
            [S#{commands := Commands ++ [Command]} | Rest];
        {_, _} -> Done
    end.

rule(Key, Result, #{rules := Rules} = S) ->
    S#{rules := maps:update_with(Key, fun(Before) -> Before ++ [result(Result)] end, [result(Result)], Rules)}.

result(["next", State | Actions]) -> {{next, list_to_atom(State)}, actions(Actions)};
result(["stop", Reason | Actions]) -> {{stop, list_to_atom(Reason)}, actions(Actions)};
result([Keep | Actions]) -> {list_to_atom(Keep), actions(Actions)}.

actions([]) -> [];
actions(Words) ->
    {Action, Rest} = lists:splitwith(fun(Word) -> Word =/= "," end, Words),
    [Action | case Rest of [] -> []; [_ | More] -> actions(More) end].

%% Playing.

%% In a process of its own, so that nothing of one play comes to the next.
play(Scenario, Mode) ->
    {_, Ref} = spawn_monitor(fun() -> exit({played, run(Scenario, Mode)}) end),
    receive {'DOWN', Ref, process, _, {played, Lines}} -> Lines end.

run(#{commands := Commands} = Scenario, Mode) ->
    persistent_term:put(mode, {Mode, Scenario}),
    {ok, Pid} = gen_statem:start(?MODULE, {self(), Scenario}, []),
    monitor(process, Pid),
    Begin = settle(?SETTLE, Pid, #{}, []),
    {Lines, _} = lists:foldl(fun(Command, {Lines, Asked}) ->
        {New, StillAsked} = do(Command, Pid, Asked, ["> " ++ string:join(Command, " ") | Lines]),
        {New, StillAsked}
    end, Begin, Commands),
    exit(Pid, kill),
    [[Line, "\n"] || Line <- lists:reverse(Lines)].

do(["sleep", Time], Pid, Asked, Lines) -> settle(list_to_integer(Time), Pid, Asked, Lines);
do(["call", X], Pid, Asked, Lines) ->
    Request = gen_statem:send_request(Pid, X),
    settle(?SETTLE, Pid, Asked#{Request => X}, Lines);
do(Command, Pid, Asked, Lines) ->
    case Command of
        ["cast", X] -> gen_statem:cast(Pid, X);
        ["info", X] -> Pid ! X;
        ["suspend"] -> sys:suspend(Pid);
        ["resume"] -> sys:resume(Pid)
    end,
    settle(?SETTLE, Pid, Asked, Lines).

%% Time passes; then the machine has handled what has come by then, and what it has told is here.
settle(Time, Pid, Asked, Lines) ->
    Timer = erlang:start_timer(time(Time), self(), settled),
    {Before, Open} = collect(Timer, Asked, Lines),
    catch sys:get_status(Pid, infinity),
    collect(erlang:start_timer(0, self(), settled), Open, Before).

collect(Timer, Asked, Lines) ->
    receive
        {timeout, Timer, settled} -> {Lines, Asked};
        {line, Line} -> collect(Timer, Asked, [Line | Lines]);
        {'DOWN', _, process, _, Reason} = Down ->
            case answered(Down, maps:to_list(Asked)) of
                {Request, Line} -> collect(Timer, maps:remove(Request, Asked), ended(Line, Lines));
                none -> collect(Timer, Asked, ended(lists:flatten(io_lib:format("down ~p", [Reason])), Lines))
            end;
        Message ->
            {Request, Line} = answered(Message, maps:to_list(Asked)),
            collect(Timer, maps:remove(Request, Asked), [Line | Lines])
    end.

%% Who is told of an end first is not for a trace to say: such lines stand in alphabetical order.
ended(Line, Lines) ->
    {Ends, Others} = lists:splitwith(fun(L) -> lists:prefix("down ", L) orelse lists:prefix("failed ", L) end, Lines),
    lists:reverse(lists:sort([Line | Ends])) ++ Others.

answered(_, []) -> none;
answered(Message, [{Request, X} | Others]) ->
    case gen_statem:check_response(Message, Request) of
        {reply, Answer} -> {Request, "reply " ++ X ++ " " ++ Answer};
        {error, {Reason, _}} -> {Request, lists:flatten(io_lib:format("failed ~s ~p", [X, Reason]))};
        no_reply -> answered(Message, Others)
    end.

%% The machine.

callback_mode() ->
    {Mode, #{enter := Enter}} = persistent_term:get(mode),
    [Mode | [state_enter || Enter]].

init({Log, #{init := {State, Actions}, rules := Rules}}) ->
    {_, Options} = lists:foldl(fun action/2, {none, []}, Actions),
    {ok, State, #{log => Log, rules => Rules, saved => #{}}, lists:reverse(Options)}.

a(Type, Content, Data) -> handle(Type, Content, a, Data).
b(Type, Content, Data) -> handle(Type, Content, b, Data).
c(Type, Content, Data) -> handle(Type, Content, c, Data).
d(Type, Content, Data) -> handle(Type, Content, d, Data).
handle_event(Type, Content, State, Data) -> handle(Type, Content, State, Data).

terminate(Reason, State, #{log := Log}) ->
    Log ! {line, lists:flatten(io_lib:format("terminate ~p ~p", [Reason, State]))}.

handle(Type, Content, State, #{log := Log} = Data) ->
    Name = name(Type),
    Text = if is_atom(Content) -> atom_to_list(Content); true -> Content end,
    Log ! {line, lists:flatten(io_lib:format("~p ~s ~s", [State, Name, Text]))},
    {{Result, Actions}, Data1} = take_rule([{S, Name, C} || S <- [atom_to_list(State), "*"], C <- [Text, "*"]], Data),
    From = case Type of {call, F} -> F; _ -> none end,
    Saved = case lists:member(["save"], Actions) of
        true -> maps:put(Text, From, maps:get(saved, Data1));
        false -> maps:get(saved, Data1)
    end,
    Data2 = Data1#{saved := Saved},
    put(saved, Saved),
    {_, Reversed} = lists:foldl(fun action/2, {From, []}, Actions),
    Options = lists:reverse(Reversed),
    case Result of
        keep -> {keep_state, Data2, Options};
        repeat -> {repeat_state, Data2, Options};
        {next, Next} -> {next_state, Next, Data2, Options};
        {stop, Reason} ->
            case [Reply || {reply, _, _} = Reply <- Options] of
                [] -> {stop, Reason, Data2};
                Replies -> {stop_and_reply, Reason, Replies, Data2}
            end
    end.

name({call, _}) -> "call";
name({timeout, Name}) -> "named:" ++ Name;
name(Type) -> atom_to_list(Type).

take_rule([], Data) -> {{keep, []}, Data};
take_rule([Key | Others], #{rules := Rules} = Data) ->
    case Rules of
        #{Key := [Last]} -> {Last, Data};
        #{Key := [First | Rest]} -> {First, Data#{rules := Rules#{Key := Rest}}};
        #{} -> take_rule(Others, Data)
    end.

action(Action, {From, Done}) ->
    {From, case Action of
        ["postpone"] -> [postpone | Done];
        ["save"] -> Done;
        ["reply", Answer] -> [{reply, From, Answer} | Done];
        ["reply_to", X, Answer] -> [{reply, maps:get(X, get(saved)), Answer} | Done];
        ["insert", Type, Content] -> [{next_event, type(Type, From), Content} | Done];
        ["timeout" | When] -> [timeout(timeout, When) | Done];
        ["state_timeout" | When] -> [timeout(state_timeout, When) | Done];
        ["named", Name | When] -> [timeout({timeout, Name}, When) | Done];
        ["update_state", Content] -> [{state_timeout, update, Content} | Done];
        ["update", Name, Content] -> [{{timeout, Name}, update, Content} | Done];
        ["cancel_state"] -> [{state_timeout, cancel} | Done];
        ["cancel", Name] -> [{{timeout, Name}, cancel} | Done]
    end}.

type("named:" ++ Name, _) -> {timeout, Name};
type("call", _) -> {call, {spawn(fun() -> ok end), make_ref()}};
type(Type, _) -> list_to_atom(Type).

timeout(Type, ["infinity", Content]) -> {Type, infinity, Content};
timeout(Type, ["abs", Time, Content]) ->
    {Type, erlang:monotonic_time(millisecond) + time(list_to_integer(Time)), Content, [{abs, true}]};
timeout(Type, [Time, Content]) -> {Type, time(list_to_integer(Time)), Content}.
