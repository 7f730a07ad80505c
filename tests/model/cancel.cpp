// Cancel epochs (src/engine/cancels.h, accept.c, ending.c): one producer makes request A, a canceller, request B; another producer races. The I/O thread takes the stack, drains, ends what is older.
//  A, whose call returned before the cancel's began, must be ended; B, whose call began after it returned, must not. "Before" and "after" are a flag by release and acquire between two threads (ORDER=1), or one thread's own order (ORDER=0).
//  V=0 the code                                             PASS   V=4 the epoch is read after the request is committed   FAIL
//  V=1 no epochs: whatever is in the table is ended         FAIL   V=5 the I/O thread drains, then takes the stack        FAIL
//  V=2 the epoch is read by the I/O thread, at the drain    FAIL   V=6 raised after the push                              FAIL
//  V=3 pushed relaxed                                       FAIL (race)  V=7 load and store instead of an RMW, two cancels     FAIL
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 0
#endif
#ifndef ORDER
#define ORDER 0
#endif
#ifndef TWO
#define TWO 0
#endif
#ifndef BOUND
#define BOUND 4
#endif
enum { SLOTS = 4, NONE = -1 };
//@ src/engine/accept.c: .cancel_epoch = chunk->epoch,
//@ src/engine/accept.c: chunk->epoch = sqcq__load_relaxed(&engine->control.cancel_epoch);
//@ src/engine/cancels.c: } while (!sqcq__cas_release(&cancels->posted, &top, index + 1));
//@ src/engine/cancels.c: cancels->taken = sqcq__swap_acquire(&cancels->posted, 0);
//@ src/engine/cancels.c: entry->epoch = sqcq__add_relaxed(&engine->control.cancel_epoch, 1) + 1;
//@ src/engine/turn.c: sqcq__cancels_take(&engine->cancels);
//@ src/engine/turn.c: sqcq__turn_drain(engine);
//@ src/engine/turn.c: sqcq__turn_control(engine, bits, removed);
//@ src/engine/requests.c: int32_t age = (int32_t)(epoch - slot->request.cancel_epoch);
struct T : test_suite<T, 3> {
  atomic<int> epoch, posted, bits, work, tail[3], gate; rl::var<int> slot[3][SLOTS], slot_epoch[3][SLOTS], number[3];
  int ended[3][SLOTS], never[3][SLOTS]; bool must[3][SLOTS]; int count[3]; int head[3];
  void before(){ epoch($)=0; posted($)=0; bits($)=0; work($)=0; gate($)=0; for(int l=0;l<3;l++){ tail[l]($)=0; head[l]=0; count[l]=0; for(int i=0;i<SLOTS;i++){ slot[l][i]($)=NONE; slot_epoch[l][i]($)=0; ended[l][i]=never[l][i]=0; must[l][i]=false; } } for(int c=0;c<3;c++) number[c]($)=0; }
  // lane l belongs to thread l; returns the request's index
  int request(int l){ int i=count[l]++; int e=0;
    if(V!=4) e=epoch($).load(mo_relaxed);
    slot[l][i]($)=i; if(V!=4) slot_epoch[l][i]($)=e;
    tail[l]($).store(i+1,mo_release); work($).fetch_or(1<<l,mo_seq_cst);
    if(V==4){ e=epoch($).load(mo_relaxed); late_epoch[l][i]=e; }
    return i; }
  int late_epoch[3][SLOTS];
  void cancel(int me){
#if V==7
    int n=epoch($).load(mo_relaxed)+1; epoch($).store(n,mo_relaxed);
#elif V==6
    int n=0;
#else
    int n=epoch($).fetch_add(1,mo_relaxed)+1;
#endif
#if V!=6
    number[me]($)=n;
#endif
    int top=posted($).load(mo_relaxed); while(!posted($).compare_exchange_strong(top,top|(1<<me),V==3?mo_relaxed:mo_release,mo_relaxed)); // the stack, as bits
#if V==6
    bits($).fetch_or(1,mo_seq_cst);
    n=epoch($).fetch_add(1,mo_relaxed)+1; number6[me]=n;
#else
    bits($).fetch_or(1,mo_seq_cst);
#endif
  }
  int number6[3];
  void drain(){ int b=work($).load(mo_relaxed)?work($).exchange(0,mo_seq_cst):0; for(int l=0;l<2;l++) if(b&(1<<l)){ int t=tail[l]($).load(mo_acquire); for(;head[l]<t;head[l]++){ int i=slot[l][head[l]]($); if(V==2) slot_epoch[l][i]($)=epoch($).load(mo_relaxed); } } }
  void turn(){
#if V==5
    drain();
#endif
    int b=bits($).load(mo_relaxed)?bits($).exchange(0,mo_seq_cst):0; int taken=b?posted($).exchange(0,V==3?mo_relaxed:mo_acquire):0;
#if V!=5
    drain();
#endif
    for(int c=0;c<3;c++) if(taken&(1<<c)){ int n=V==6?number6[c]:(int)number[c]($);
      for(int l=0;l<2;l++) for(int i=0;i<head[l];i++){ int e=V==4?late_epoch[l][i]:(int)slot_epoch[l][i]($); if(V==1||e-n<0) ended[l][i]|=1<<c; } } }
  void thread(unsigned i){
    if(i==0){ int a=request(0); must[0][a]=true;
#if ORDER
      gate($).store(1,mo_release); linear_backoff k; while(gate($).load(mo_acquire)!=2) k.yield($); // the other cancels between
#else
      cancel(0);
  #if V==7
      cancel(2);
  #endif
#endif
      int b=request(0); never[0][b]=ORDER?2:1|4; }
    else if(i==1){
#if ORDER
      linear_backoff k; while(gate($).load(mo_acquire)!=1) k.yield($); cancel(1); gate($).store(2,mo_release);
#else
      int r=request(1); (void)r;
  #if V==3||V==7||TWO
      cancel(1); int b=request(1); never[1][b]=2;
  #endif
#endif
    } else { turn(); turn(); } }
  void after(){ turn(); for(int l=0;l<2;l++) for(int i=0;i<count[l];i++){ if(must[l][i]) RL_ASSERT(ended[l][i]);
      RL_ASSERT(!(never[l][i]&ended[l][i])); } }
};
int main(){ test_params p; p.search_type=RAND?random_scheduler_type:sched_bound; p.context_bound=BOUND; p.iteration_count=RAND?RAND:100000000; p.execution_depth_limit=4000; bool r=simulate<T>(p); printf("cancel V=%d ORDER=%d BOUND=%d RAND=%d: %s iters=%u\n",V,ORDER,BOUND,RAND,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
